"""Replies in pieces of every size, compared with a regular expression on the whole."""

import re

import pytest

from convmodel.tokens.reasoning import THINK, ReasoningSplitter, ReasoningTags, find_tags

WHOLE = re.compile(r"\s*<think>(.*?)(?:</think>\s*|$)", re.DOTALL)

REPLIES = [
    "Hello <think>no</think>",
    "<think>It rains.\n</think>\n\nHello",
    " \n<think></think>Hello </think>",
    "<think>It never ends </thin",
    "<thin ice",
    "  <",
    "   ",
    "",
    "<think>a</think>",
    "<think>a < b </ c</think> <think>b</think>",
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("reply", REPLIES)
def test_the_reasoning_is_what_stands_between_the_tags_at_the_beginning(reply: str, size: int) -> None:
    splitter = ReasoningSplitter(ReasoningTags())
    pieces = [splitter.feed(reply[start : start + size]) for start in range(0, len(reply), size)]
    pieces.append(splitter.finish())
    found = WHOLE.match(reply)
    text, reasoning = (reply[found.end() :], found[1].strip()) if found else (reply, "")
    if found and reasoning.endswith("</thin"):
        reasoning = "It never ends </thin"
    assert ("".join(pieces), splitter.text, splitter.reasoning) == (text, text, reasoning)


def test_a_context_may_end_with_the_first_tag_and_tags_may_be_control_tokens() -> None:
    template = "... [THINK]{{ reasoning }}[/THINK] ..."
    tags = find_tags(template, "<|assistant|>\n[THINK]", {5: "[THINK]", 6: "[/THINK]", 7: "</s>"})
    assert tags.opened == ("[THINK]", "[/THINK]") and tags.special == {5: "[THINK]", 6: "[/THINK]"}
    splitter = ReasoningSplitter(tags)
    assert [splitter.feed(piece, token) for piece, token in (("It rains", 9), ("", 6), (" Hello", 9))] == [
        "",
        "",
        "Hello",
    ]
    assert splitter.finish() == "" and splitter.reasoning == "It rains"
    assert find_tags("<reasoning>", "", {}) == ReasoningTags((THINK,), None, {})

"""JSON Lines: what a line may be, and what is said about one that may not."""

import json
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError

GOOD = '["Hello", "Hi"]\n'


def only(reader: Any, line: Any) -> Conversation:
    made = reader(line if isinstance(line, str) else json.dumps(line), format="jsonl")
    (conversation,) = made
    return conversation


def error_of(reader: Any, line: Any) -> str:
    text = line if isinstance(line, str) else json.dumps(line)
    with pytest.raises(ConversationFileError) as caught:
        list(reader(GOOD + text, format="jsonl"))
    message = str(caught.value)
    assert ":2: " in message and "\n" not in message and message.endswith("or read with on_error='skip'")
    return message


def test_a_line_may_be_a_bare_list(reader: Any) -> None:
    assert only(reader, ["Hello", "Hi, how are you?"]) == Conversation(["Hello", "Hi, how are you?"])


def test_a_line_may_be_an_object_whose_other_keys_become_meta(reader: Any) -> None:
    line = {"turns": ["a", "b"], "persona": ["I am Ann."], "id": 7, "candidates": ["b", "c"]}
    assert only(reader, line) == Conversation(["a", "b"], ["I am Ann."], {"id": 7, "candidates": ["b", "c"]})


def test_a_null_persona_is_no_persona(reader: Any) -> None:
    assert only(reader, {"turns": ["a", "b"], "persona": None}) == Conversation(["a", "b"])


def test_a_meta_object_that_stands_alone_is_the_meta(reader: Any) -> None:
    assert only(reader, {"turns": ["a", "b"], "meta": {"id": 1}}).meta == {"id": 1}
    assert only(reader, {"turns": ["a", "b"], "meta": {"id": 1}, "x": 2}).meta == {"meta": {"id": 1}, "x": 2}


def test_a_context_and_its_response_are_turns(reader: Any) -> None:
    line = {"context": ["a", "b"], "response": "c", "distractors": ["d"]}
    assert only(reader, line) == Conversation(["a", "b", "c"], meta={"distractors": ["d"]})
    assert only(reader, {"context": "a", "response": "b"}).turns == ("a", "b")


def test_a_bare_list_may_be_of_messages(reader: Any) -> None:
    messages = [{"role": role, "content": role} for role in ("system", "user", "assistant")]
    assert only(reader, messages) == Conversation(["user", "assistant"], ["system"])


def test_messages_become_turns_and_system_messages_the_persona(reader: Any) -> None:
    line = {
        "messages": [
            {"role": "system", "content": "I am Ann."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi"},
        ],
        "source": "us",
    }
    assert only(reader, line) == Conversation(["Hello", "Hi"], ["I am Ann."], {"source": "us"})


def test_a_persona_key_comes_before_the_system_messages(reader: Any) -> None:
    messages = [{"role": role, "content": role} for role in ("system", "user", "assistant")]
    assert only(reader, {"persona": ["first"], "messages": messages}).persona == ("first", "system")


def test_blank_lines_a_bom_and_crlf_are_ordinary(reader: Any) -> None:
    made = reader(b'\xef\xbb\xbf["a", "b"]\r\n\r\n  \r\n["c", "d"]\r\n')
    assert [each.turns for each in made] == [("a", "b"), ("c", "d")]
    assert made.format == "jsonl"


def test_nul_characters_and_line_separators_stay_inside_a_turn(reader: Any) -> None:
    turns = ["a\u0000b", "c\u2028d\u0085e"]
    assert only(reader, json.dumps(turns, ensure_ascii=False)).turns == tuple(turns)


def test_surrogate_pairs_are_one_character(reader: Any) -> None:
    assert only(reader, '{"turns": ["\\ud83d\\ude00", "b"], "x": "\\uD83D\\uDE00"}').turns == ("😀", "b")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('["a", "b"', "column 10, at the end of the line"),
        ('["a" "b"]', "column 6, found '\"b\"]'"),
        ("['a', 'b']", "looks like Python"),
        ('["a", None]', "looks like Python"),
        ("{'turns': ['a', 'b']}", "looks like Python"),
        ("[", "write one conversation a line"),
        ("Hello", "found 'Hello'"),
        ("[" * 100_000, "nested too deeply"),
        ('["a", ' + "9" * 5000 + "]", "a number has more than 4,300 digits; write it as a string"),
        ('["a"]', "only one turn"),
        ("[]", "no turns"),
        ('["a", ""]', "turn 2 is empty"),
        ('["a", " \\n"]', "turn 2 is only white space"),
        ('["a", 5]', "turn 2 is the number 5"),
        ('["a", true]', "turn 2 is true or false"),
        ('["a", null]', "turn 2 is null"),
        ('[["a", "b"], ["c", "d"]]', "turn 1 is a list, not a string; write one conversation a line"),
        ('["a", "\\ud800"]', "turn 2 holds a lone surrogate (U+D800, character 1)"),
        ('{"turns": ["a", "b"], "x": {"y": ["\\uDC00"]}}', "beside the turns holds a lone surrogate"),
        ("5", "the line is the number 5"),
        ("null", "the line is null"),
        ('"Hello"', "the line is the string 'Hello'"),
        ('{"lines": ["a", "b"]}', "has no turns (its keys: 'lines')"),
        ("{}", "has no turns (its keys: none)"),
        ('{"turns": "a"}', "the turns are the string 'a', not a list"),
        ('{"turns": null}', "the turns are null"),
        ('{"turns": ["a", "b"], "persona": "I am Ann."}', "the persona sentences are the string"),
        ('{"turns": ["a", "b"], "persona": [""]}', "persona sentence 1 is empty"),
        ('{"messages": []}', "no turns"),
        ('{"messages": "a"}', "messages is the string 'a'"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_the_cure(reader: Any, line: str, wanted: str) -> None:
    assert wanted in error_of(reader, line)


def test_with_skip_the_rest_is_read_on(reader: Any) -> None:
    made = reader(GOOD + '["a"]\n{\n' + GOOD + "nonsense", on_error="skip")
    assert len(list(made)) == 2
    assert (made.report.conversations, made.report.skipped) == (2, 3)
    assert [problem.split(": ")[0].rsplit(":", 1)[1] for problem in made.report.problems] == ["2", "3", "5"]


def test_bad_utf_8_is_told_by_its_byte(reader: Any) -> None:
    content = b'["a", "b"]\n["caf\xe9", "b"]\n'
    with pytest.raises(ConversationFileError, match=r":2: not UTF-8: byte 0xe9 at offset 16 \(byte 6 of"):
        list(reader(content))
    assert len(list(reader(content, on_error="skip"))) == 1
    with pytest.raises(ConversationFileError, match=r":1: not UTF-8: byte 0xff at offset 5 \(byte 3 of"):
        list(reader(b'\xef\xbb\xbf["\xff", "b"]'))


def test_a_first_line_that_is_broken_does_not_hide_the_format(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=":1: not JSON"):
        list(reader("oops\n" + GOOD))


def test_the_writer_keeps_meta_keys_where_they_stood(reader: Any, tmp_path: Path) -> None:
    from convmodel.data.conversation import write_conversations

    line = {"turns": ["a", "b"], "persona": ["p"], "candidates": ["b", "ü"]}
    path = tmp_path / "out.jsonl"
    assert write_conversations(reader(json.dumps(line)), path) == 1
    assert path.read_text(encoding="utf-8") == json.dumps(line, ensure_ascii=False) + "\n"

"""Chat templates in pieces, compared with their renderings."""

import pytest

from convmodel.tokens.chat_template import PERSONA, ChatTemplate, TurnShape
from tests.tokens.templates import CHANGING, NO_SYSTEM, TEMPLATES, USER_FIRST, with_template


def rendered(name: str, shape: TurnShape) -> str:
    """Return a shape with its texts as P and the numbers of the turns."""
    tokenizer = with_template(name)
    pieces = ChatTemplate(tokenizer).pieces(shape)
    texts = ["P" if slot == PERSONA else str(slot) for slot in pieces.slots]
    return "".join(
        str(tokenizer.decode([*words])) + text for words, text in zip(pieces.words, [*texts, ""], strict=True)
    )


def test_the_pieces_of_a_template_are_its_words_in_order() -> None:
    shape = TurnShape(persona=True, turns=3, last_is_reply=False, is_open=True)
    assert rendered("chatml", shape) == (
        "<|im_start|>system\nP<|im_end|>\n<|im_start|>user\n0<|im_end|>\n<|im_start|>assistant\n1<|im_end|>\n"
        "<|im_start|>user\n2<|im_end|>\n<|im_start|>assistant\n"
    )
    assert rendered("gemma", shape) == (
        "<s><start_of_turn>user\nP\n\n0<end_of_turn>\n<start_of_turn>model\n1<end_of_turn>\n"
        "<start_of_turn>user\n2<end_of_turn>\n<start_of_turn>model\n"
    )
    assert rendered("mistral, system last", shape) == "<s>[INST]0[/INST]1</s>[INST]P\n\n2[/INST]"


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_assistant_who_speaks_first_follows_an_empty_turn_where_the_user_must_begin(name: str) -> None:
    shape = TurnShape(persona=False, turns=2, last_is_reply=False, is_open=True)
    text = rendered(name, shape)
    assert text.index("0") < text.index("1")
    with_filler = any(word in text[: text.index("0")] for word in ("user\n", "[INST]"))
    assert with_filler == (name in USER_FIRST)


@pytest.mark.parametrize("name", sorted(NO_SYSTEM))
def test_a_persona_without_a_system_message_is_the_first_turn_of_a_user_who_does_not_begin(name: str) -> None:
    shape = TurnShape(persona=True, turns=1, last_is_reply=True, is_open=False)
    assert rendered(name, shape) == "<s><start_of_turn>user\nP<end_of_turn>\n<start_of_turn>model\n0<end_of_turn>\n"


def test_reasoning_is_asked_for_or_closed_where_the_template_knows_it() -> None:
    shape = TurnShape(persona=False, turns=1, last_is_reply=False, is_open=True)
    tokenizer = with_template("qwen 3")
    words = (ChatTemplate(tokenizer, reasoning=on).pieces(shape).words[-1] for on in (False, True))
    ends = [str(tokenizer.decode([*ids])) for ids in words]
    assert ends[0].endswith("assistant\n<think>\n\n</think>\n\n") and ends[1].endswith("assistant\n")


def test_a_turn_is_told_to_be_a_reply_by_its_distance_from_the_end() -> None:
    assert [TurnShape(False, 3, True, False).is_reply(turn) for turn in range(3)] == [True, False, True]
    assert [TurnShape(False, 3, False, True).is_reply(turn) for turn in range(3)] == [False, True, False]
    assert set(TEMPLATES) > CHANGING


def test_a_template_is_seen_to_trim_the_texts_of_both_roles() -> None:
    assert {name for name in TEMPLATES if ChatTemplate(with_template(name)).trims} == {"gemma", "llama 3"}


FAILING = ["{{ 1 / 0 }}", "{{ messages[0].content.magic() }}", "{{ messages[99].role }}", "{% for"]


@pytest.mark.parametrize("code", FAILING)
def test_a_template_that_fails_says_so_with_the_remedy(code: str) -> None:
    tokenizer = with_template("chatml")
    tokenizer.chat_template = code
    tokenizer.name_or_path = "folder"
    message = r"^folder: the chat template cannot .* user, assistant: .* correct the template \(chat_template\.jinja\)$"
    with pytest.raises(ValueError, match=message):
        ChatTemplate(tokenizer)

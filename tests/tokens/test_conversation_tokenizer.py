"""The conversation tokenizer of every family: its layout, truncation, errors and chat template."""

import random
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    AutoTokenizer,
    GPT2Tokenizer,
    PreTrainedTokenizerBase,
)

from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.conftest import random_turns
from tests.vocabularies import FAMILIES, byte_level, end_of_text

PLAIN = ["hello how are you", "a b a", "hello ?"]
"""Texts that the vocabularies of all families can encode."""


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    return FAMILIES[request.param]()


@pytest.mark.data
def test_gpt2_has_the_documented_layout(gpt2_folder: Path, tmp_path: Path) -> None:
    GPT2Tokenizer.from_pretrained(gpt2_folder).save_pretrained(tmp_path)
    tokenizer = ConversationTokenizer.from_pretrained(tmp_path)
    assert tokenizer(["Hello", "How are you"]) == {
        "input_ids": [50256, 15496, 50256, 2437, 389, 345, 50256],
        "token_type_ids": [0, 0, 1, 1, 1, 1, 0],
        "attention_mask": [1, 1, 1, 1, 1, 1, 1],
    }


# Truncation


@pytest.mark.parametrize("seed", range(40))
def test_the_oldest_turns_are_dropped_first_and_counted(tokenizer: ConversationTokenizer, seed: int) -> None:
    """The oracle tries to drop 0, 1, 2, ... turns, and then cuts the newest turn."""
    source = random.Random(seed)
    turns = random_turns(source)
    persona = random_turns(source, max_turns=2) if source.random() < 0.5 else []
    turn_ids = tokenizer.encode_many(turns)
    persona_ids = tokenizer.encode_many(persona)
    limit = tokenizer.layout.costs.persona_length(persona_ids) + 3 + source.randint(0, 60)
    encoding = tokenizer(turns, persona=persona, max_length=limit)
    for dropped in range(len(turns)):
        expected = tokenizer(turns[dropped:], persona=persona)
        if len(expected["input_ids"]) <= limit:
            assert encoding == expected
            assert encoding.turns_dropped == dropped
            assert encoding.tokens_dropped == sum(map(len, turn_ids[:dropped]))
            return
    sep = tokenizer.sep_token_id
    head = [i for sentence in persona_ids for i in (sep, *sentence)]
    room = limit - len(head) - 2
    assert encoding["input_ids"] == [*head, sep, *turn_ids[-1][-room:], sep]
    assert encoding["token_type_ids"] == [1] * len(head) + [0] * (room + 1) + [1]
    assert encoding.turns_dropped == len(turns) - 1
    assert encoding.tokens_dropped == sum(map(len, turn_ids)) - room


def test_a_persona_is_kept_when_turns_are_dropped_or_is_an_error(tokenizer: ConversationTokenizer) -> None:
    persona = ["I like the rain."]
    encoding = tokenizer(["Hello there."] * 9, persona=persona, max_length=40)
    head = [tokenizer.sep_token_id, *tokenizer.encode(persona[0])]
    assert encoding["input_ids"][: len(head)] == head and encoding.turns_dropped > 0
    with pytest.raises(ValueError, match=r"\d+ tokens leave no room for a turn beside the persona's \d+ tokens"):
        tokenizer(["Hello"], persona=persona, max_length=len(head) + 2)


@pytest.mark.parametrize("seed", range(30))
def test_encode_ids_has_the_layout_of_the_texts(family: PreTrainedTokenizerBase, seed: int) -> None:
    tokenizer = ConversationTokenizer(family)
    source = random.Random(seed)
    turns = [source.choice(PLAIN) for _ in range(source.randint(1, 9))]
    persona = [source.choice(PLAIN) for _ in range(source.randint(0, 2))]
    turn_ids = tokenizer.encode_many(turns)
    persona_ids = tokenizer.encode_many(persona)
    for limit in (None, tokenizer.layout.costs.persona_length(persona_ids) + 3 + source.randint(0, 60)):
        laid_out, window = tokenizer.layout.lay_out_context(turn_ids, persona=persona_ids, max_length=limit)
        encoding = tokenizer(turns, persona=persona, max_length=limit)
        assert encoding == {
            "input_ids": laid_out.input_ids,
            "token_type_ids": laid_out.token_type_ids,
            "attention_mask": [1] * len(laid_out.input_ids),
        }
        tokens_dropped = window.cut + sum(map(len, turn_ids[: window.first]))
        assert (encoding.turns_dropped, encoding.tokens_dropped) == (window.first, tokens_dropped)
    assert tokenizer.encode_many(turns) == turn_ids  # the arguments were not modified


def test_turns_are_dropped_with_hysteresis_beside_a_persona(tokenizer: ConversationTokenizer) -> None:
    persona_ids = tokenizer.encode_many(["I like rain."])
    turn = tokenizer.encode("Hello there.")
    head = tokenizer.layout.costs.persona_length(persona_ids)
    limit = 80
    dropped = []
    for count in range(1, 60):
        laid_out, window = tokenizer.layout.lay_out_context(
            [turn] * count, persona=persona_ids, max_length=limit, keep=0.5
        )
        assert laid_out.input_ids[:head] == [tokenizer.sep_token_id, *persona_ids[0]]
        assert len(laid_out.input_ids) == head + 1 + (count - window.first) * (len(turn) + 1) <= limit
        assert window.cut == 0
        dropped.append(window.first)
    assert dropped == sorted(dropped) and 3 < len(set(dropped)) < 30
    with pytest.raises(ValueError, match="leave no room for a turn"):
        tokenizer.layout.lay_out_context([turn], persona=persona_ids, max_length=head + 2, keep=0.5)


# Bad input


@pytest.mark.parametrize(
    ("turns", "error", "message"),
    [
        ([], ValueError, "there are no turns; give at least one"),
        (["Hello", ""], ValueError, "turn 2 is empty; remove it or give it text"),
        (["Hello", " \n"], ValueError, "turn 2 is only white space"),
        ("Hello", TypeError, "the turns are the string 'Hello', not a list"),
        (["Hello", None], TypeError, "turn 2 is null .None., not a string"),
        (["Hello", 3], TypeError, "turn 2 is the number 3, not a string"),
        (["Hello", ["a"]], TypeError, "turn 2 is a list, not a string"),
        ({"a": "b"}, TypeError, "the turns are an object"),
        (["\ud800"], ValueError, "turn 1 holds a lone surrogate"),
    ],
)
def test_an_invalid_turn_is_an_error_with_its_number(
    tokenizer: ConversationTokenizer, turns: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tokenizer(turns)


def test_an_invalid_persona_is_an_error(tokenizer: ConversationTokenizer) -> None:
    with pytest.raises(ValueError, match="persona sentence 1 is empty"):
        tokenizer(["Hello"], persona=[""])
    with pytest.raises(TypeError, match="the persona sentences are the string 'I like rain', not a list"):
        tokenizer(["Hello"], persona="I like rain")


# The chat template


@pytest.mark.parametrize("make", [end_of_text, byte_level], ids=["end of text", "new separator"])
def test_the_chat_template_reproduces_the_layout(make: Any, tmp_path: Path) -> None:
    tokenizer = ConversationTokenizer(make())
    tokenizer.save_pretrained(tmp_path)
    reloaded = AutoTokenizer.from_pretrained(tmp_path)
    turns = [" Hello,\nyou ", "Hi!", "How are you?"]
    persona = ["I like rain."]
    roles = ["user", "assistant", "user"]
    turn_messages = [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=True)]
    messages = [{"role": "system", "content": persona[0]}, *turn_messages]
    for wrapped in (tokenizer.hf_tokenizer, reloaded):
        ids = wrapped.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert ids == tokenizer(turns, persona=persona)["input_ids"]
        assert ids[:-1] == wrapped.apply_chat_template(messages, return_dict=False)
        masks: Any = wrapped.apply_chat_template(messages, return_assistant_tokens_mask=True, return_dict=True)
        masked_ids = [i for i, masked in zip(masks["input_ids"], masks["assistant_masks"], strict=True) if masked]
        assert masked_ids == tokenizer.encode("Hi!")

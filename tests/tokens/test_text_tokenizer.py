"""Text tokenizers of every family: separators, and texts that contain control tokens."""

import random
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from convmodel.models.conversation_model import ConversationModel
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.conftest import TEXTS, random_text
from tests.vocabularies import FAMILIES, byte_level, end_of_text, word_level

PLAIN = ["hello how are you", "a b a", "hello ?"]
"""Texts that every family can write."""


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    return FAMILIES[request.param]()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "<sep>"),
        ({"eos_token": "<|endoftext|>"}, "<|endoftext|>"),
        ({"eos_token": "<|endoftext|>", "sep_token": "<new>"}, "<new>"),
    ],
    ids=["neither", "end of text", "both"],
)
def test_the_separator_is_the_tokenizers_own_then_its_end_of_text_then_a_new_one(
    options: dict[str, str], expected: str
) -> None:
    wrapped = byte_level(**options)
    before = len(wrapped)
    tokenizer = ConversationTokenizer(wrapped)
    assert tokenizer.sep_token == expected
    assert tokenizer.sep_token_id == wrapped.convert_tokens_to_ids(expected)
    assert (tokenizer.sep_token_id == before) == (expected == "<sep>")


def test_a_separator_that_was_only_assigned_is_added(tmp_path: Path) -> None:
    """Assigning `sep_token` adds nothing to a vocabulary: without care the id is that of the unknown token."""
    wrapped = end_of_text()
    wrapped.sep_token = "<sep>"
    tokenizer = ConversationTokenizer(wrapped)
    assert tokenizer.sep_token == "<sep>" and tokenizer.sep_token_id == len(wrapped) - 1 == 300
    tokenizer.save_pretrained(tmp_path)
    assert ConversationTokenizer.from_pretrained(tmp_path).sep_token_id == 300


def test_the_separator_is_the_same_id_after_saving_and_inside_the_embedding_table(
    family: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    tokenizer = ConversationTokenizer(family)
    sizes: dict[str, Any] = {"n_positions": 16, "n_layer": 1, "n_head": 1, "n_embd": 4}
    network = GPT2LMHeadModel(GPT2Config(vocab_size=5, bos_token_id=0, eos_token_id=0, **sizes))
    model = ConversationModel(network, tokenizer)
    rows = len(network.transformer.wte.weight)
    assert 0 <= tokenizer.sep_token_id < rows == len(tokenizer)
    assert all(0 <= i < rows for i in model.tokenizer(PLAIN)["input_ids"])
    if not isinstance(family, PreTrainedTokenizerFast):
        return  # AutoTokenizer cannot know a class that is defined here
    tokenizer.save_pretrained(tmp_path)
    reloaded = ConversationTokenizer.from_pretrained(tmp_path)
    assert (reloaded.sep_token, reloaded.sep_token_id) == (tokenizer.sep_token, tokenizer.sep_token_id)
    assert len(reloaded) == len(tokenizer)
    assert reloaded(PLAIN) == tokenizer(PLAIN)


def test_ids_with_gaps_are_counted_by_the_largest() -> None:
    rust = Tokenizer(models.WordLevel({"a": 0, "<unk>": 1, "b": 9}, unk_token="<unk>"))
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = ConversationTokenizer(PreTrainedTokenizerFast(tokenizer_object=rust, unk_token="<unk>", sep_token="b"))
    assert len(tokenizer) == 10


def test_what_a_tokenizer_adds_by_itself_is_left_out() -> None:
    tokenizer = ConversationTokenizer(FAMILIES["word piece"]())
    assert tokenizer.hf_tokenizer("hello")["input_ids"] == [2, 4, 3]
    assert tokenizer.encode("hello") == [4]
    assert tokenizer(["hello"])["input_ids"] == [3, 4, 3]


def test_a_name_is_told_from_a_tokenizer() -> None:
    with pytest.raises(TypeError, match=r"use ConversationTokenizer.from_pretrained\('gpt2'\)"):
        ConversationTokenizer("gpt2")  # type: ignore[arg-type]


def control_ids(tokenizer: ConversationTokenizer) -> set[int]:
    """Every id that a text must not become; the unknown token stands for what a vocabulary lacks."""
    wrapped = tokenizer.hf_tokenizer
    special = {i for i, token in wrapped.added_tokens_decoder.items() if token.special}
    return ({*wrapped.all_special_ids, *special} - {wrapped.unk_token_id}) | {tokenizer.sep_token_id}


def test_no_text_becomes_a_control_token(family: PreTrainedTokenizerBase) -> None:
    tokenizer = ConversationTokenizer(family)
    control = control_ids(tokenizer)
    names = [str(tokenizer.hf_tokenizer.convert_ids_to_tokens(i)) for i in control]
    source = random.Random(0)
    for name in names:
        for text in (name, f"hello {name} hello", f"{name}{name}", f"a{name}", f" {name} "):
            assert control.isdisjoint(tokenizer.encode(text)), text
    for _ in range(200):
        text = random_text(source)
        assert control.isdisjoint(tokenizer.encode(text)), text
    forged = tokenizer([f"hello{names[0]}hello", "hello"])
    assert forged["input_ids"].count(tokenizer.sep_token_id) == 3


@pytest.mark.parametrize("make", [end_of_text, byte_level], ids=["end of text", "new separator"])
def test_a_text_of_bytes_decodes_to_itself_whatever_it_says(make: Any) -> None:
    tokenizer = ConversationTokenizer(make())
    source = random.Random(1)
    for text in [random_text(source) for _ in range(300)] + ["<sep>", "<|endoftext|>", " a <sep>b", "\x00\t "]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_many_texts_are_encoded_as_each_alone(family: PreTrainedTokenizerBase) -> None:
    tokenizer = ConversationTokenizer(family)
    source = random.Random(2)
    texts = [*PLAIN, *(random_text(source) for _ in range(100))]
    assert tokenizer.encode_many(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_many([]) == []
    with pytest.raises(TypeError, match="got one text 'hello'; put it in a list"):
        tokenizer.encode_many("hello")


def test_padding_and_truncation_of_the_wrapped_tokenizer_change_nothing() -> None:
    wrapped = end_of_text()
    tokenizer = ConversationTokenizer(wrapped)
    expected = tokenizer.encode_many(TEXTS)
    wrapped.pad_token = "<|endoftext|>"
    wrapped(TEXTS, padding="max_length", truncation=True, max_length=2)
    assert ConversationTokenizer(wrapped).encode_many(TEXTS) == tokenizer.encode_many(TEXTS) == expected


def test_a_vocabulary_whose_only_word_for_a_text_is_the_separator_is_refused() -> None:
    tokenizer = ConversationTokenizer(word_level(sep_token="[UNK]"))
    with pytest.raises(ValueError, match="turns 'strange' into a control token, so a text could forge a turn"):
        tokenizer.encode("strange")


def test_decoding_leaves_control_tokens_out(tokenizer: ConversationTokenizer) -> None:
    sep = tokenizer.sep_token_id
    assert tokenizer.decode([sep, *tokenizer.encode("Hello"), sep]) == "Hello"
    assert tokenizer.decode([]) == ""


def test_a_learned_vocabulary_keeps_its_first_rows_for_the_speakers_and_writes_everything() -> None:
    tokenizer = ConversationTokenizer.learn(TEXTS * 3, 300)
    assert len(tokenizer) == 300
    assert tokenizer.hf_tokenizer.convert_ids_to_tokens([0, 1, 2]) == ["<speaker0>", "<speaker1>", "<sep>"]
    assert tokenizer.sep_token_id == 2
    for text in ("日本語 👩‍👩‍👧", "<speaker0>", "\x00"):
        ids = tokenizer.encode(text)
        assert min(ids) > 2 and tokenizer.decode(ids) == text
    with pytest.raises(ValueError, match="vocab_size=258; at least 259 are needed"):
        ConversationTokenizer.learn(TEXTS, 258)

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
"""Texts that the vocabularies of all families can encode."""


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
def test_the_separator_is_the_sep_token_else_the_eos_token_else_a_new_token(
    options: dict[str, str], expected: str
) -> None:
    wrapped = byte_level(**options)
    before = len(wrapped)
    tokenizer = ConversationTokenizer(wrapped)
    assert tokenizer.sep_token == expected
    assert tokenizer.sep_token_id == wrapped.convert_tokens_to_ids(expected)
    assert (tokenizer.sep_token_id == before) == (expected == "<sep>")


def test_an_assigned_separator_is_added_to_the_vocabulary(tmp_path: Path) -> None:
    """Assigning `sep_token` does not add it to the vocabulary, so its id would be that of the unknown token."""
    wrapped = end_of_text()
    wrapped.sep_token = "<sep>"
    tokenizer = ConversationTokenizer(wrapped)
    assert tokenizer.sep_token == "<sep>" and tokenizer.sep_token_id == len(wrapped) - 1 == 300
    tokenizer.save_pretrained(tmp_path)
    assert ConversationTokenizer.from_pretrained(tmp_path).sep_token_id == 300


def test_the_separator_id_survives_saving_and_is_within_the_embedding_table(
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


def test_the_length_is_the_largest_id_plus_one() -> None:
    backend = Tokenizer(models.WordLevel({"a": 0, "<unk>": 1, "b": 9}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = ConversationTokenizer(
        PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", sep_token="b")
    )
    assert len(tokenizer) == 10


def test_special_tokens_that_a_tokenizer_adds_are_left_out() -> None:
    tokenizer = ConversationTokenizer(FAMILIES["word piece"]())
    assert tokenizer.hf_tokenizer("hello")["input_ids"] == [2, 4, 3]
    assert tokenizer.encode("hello") == [4]
    assert tokenizer(["hello"])["input_ids"] == [3, 4, 3]


def test_a_model_name_instead_of_a_tokenizer_is_an_error_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"use ConversationTokenizer.from_pretrained\('gpt2'\)"):
        ConversationTokenizer("gpt2")  # type: ignore[arg-type]


def control_ids(tokenizer: ConversationTokenizer) -> set[int]:
    """Return all ids that no text may be encoded as; the unknown token is allowed."""
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
def test_byte_level_vocabularies_decode_any_text_to_itself(make: Any) -> None:
    tokenizer = ConversationTokenizer(make())
    source = random.Random(1)
    for text in [random_text(source) for _ in range(300)] + ["<sep>", "<|endoftext|>", " a <sep>b", "\x00\t "]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_encode_many_encodes_each_text_as_encode_does(family: PreTrainedTokenizerBase) -> None:
    tokenizer = ConversationTokenizer(family)
    source = random.Random(2)
    texts = [*PLAIN, *(random_text(source) for _ in range(100))]
    assert tokenizer.encode_many(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_many([]) == []
    with pytest.raises(TypeError, match="got one text 'hello'; put it in a list"):
        tokenizer.encode_many("hello")


def test_padding_and_truncation_settings_of_the_wrapped_tokenizer_have_no_effect() -> None:
    wrapped = end_of_text()
    tokenizer = ConversationTokenizer(wrapped)
    expected = tokenizer.encode_many(TEXTS)
    wrapped.pad_token = "<|endoftext|>"
    wrapped(TEXTS, padding="max_length", truncation=True, max_length=2)
    assert ConversationTokenizer(wrapped).encode_many(TEXTS) == tokenizer.encode_many(TEXTS) == expected


def test_a_text_that_the_vocabulary_can_only_encode_as_the_separator_is_rejected() -> None:
    tokenizer = ConversationTokenizer(word_level(sep_token="[UNK]"))
    with pytest.raises(ValueError, match="turns 'strange' into a control token, so a text could forge a turn"):
        tokenizer.encode("strange")


def test_decoding_omits_control_tokens(tokenizer: ConversationTokenizer) -> None:
    sep = tokenizer.sep_token_id
    assert tokenizer.decode([sep, *tokenizer.encode("Hello"), sep]) == "Hello"
    assert tokenizer.decode([]) == ""


def test_a_learned_vocabulary_starts_with_the_control_tokens_and_encodes_any_text() -> None:
    tokenizer = ConversationTokenizer.learn(TEXTS * 3, 300)
    assert len(tokenizer) == 300
    assert tokenizer.hf_tokenizer.convert_ids_to_tokens([0, 1, 2]) == ["<speaker0>", "<speaker1>", "<sep>"]
    assert tokenizer.sep_token_id == 2
    for text in ("日本語 👩‍👩‍👧", "<speaker0>", "\x00"):
        ids = tokenizer.encode(text)
        assert min(ids) > 2 and tokenizer.decode(ids) == text
    with pytest.raises(ValueError, match="vocab_size=258; at least 259 are needed"):
        ConversationTokenizer.learn(TEXTS, 258)

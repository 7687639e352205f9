"""Prompts and metas as ids: the layout, what is left out, and that no text forges a boundary, in any vocabulary."""

import random
from pathlib import Path
from typing import Any, cast

import pytest

from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from tests.conftest import TEXTS, random_text
from tests.models.documents import FAMILIES, RUSSIAN

META = {"author": "Ann\nBob", "topics": ["cats", "dogs"]}


@pytest.fixture(scope="module")
def small() -> DocumentTokenizer:
    return DocumentTokenizer.learn(TEXTS * 3, 320)


def test_the_layout_is_separator_meta_separator_prompt(small: DocumentTokenizer) -> None:
    sep, meta, prompt = small.sep_token_id, small.encode("author: Ann Bob\ntopics: cats, dogs"), small.encode("Hello")
    assert small("Hello", meta=META)["input_ids"] == [sep, *meta, sep, *prompt]
    assert small("Hello")["input_ids"] == [sep, sep, *prompt]
    assert small()["input_ids"] == [sep, sep]
    assert small("", meta=["cats", "dogs"])["input_ids"] == [sep, *small.encode("cats, dogs"), sep]
    assert small("Hello")["attention_mask"] == [1] * (len(prompt) + 2)
    assert set(small("Hello")) == {"input_ids", "attention_mask"}  # no token types


def test_the_oldest_of_the_prompt_and_the_last_of_the_meta_go_and_are_counted(small: DocumentTokenizer) -> None:
    sep, meta, prompt = small.sep_token_id, small.encode("Cats and dogs"), small.encode("Where do you live? " * 5)
    found = small("Where do you live? " * 5, meta="Cats and dogs", max_length=20, max_meta_length=4)
    assert found["input_ids"] == [sep, *meta[:4], sep, *prompt[-14:]]
    assert (found.tokens_dropped, found.meta_tokens_dropped) == (len(prompt) - 14, len(meta) - 4)
    found = small("Hello", meta="Cats and dogs", max_length=100)
    assert (found.tokens_dropped, found.meta_tokens_dropped) == (0, 0)
    assert small(max_length=2)["input_ids"] == [sep, sep]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: t(7), TypeError, "the prompt is the number 7; give a string"),
        (lambda t: t(["a"]), TypeError, "the prompt is a list"),
        (lambda t: t("a\ud800"), ValueError, r"lone surrogate \(U\+D800, character 2\)"),
        (lambda t: t("", meta=object()), TypeError, "meta"),
        (lambda t: t("Hello", max_length=2), ValueError, "leaves no room for a prompt .* use max_length >= 3"),
        (lambda t: t("", meta="Cats", max_length=3), ValueError, "no room .* or a shorter meta"),
        (lambda t: t.encode_many("abc"), TypeError, "put it in a list"),
        (lambda _: DocumentTokenizer(cast(Any, "gpt2")), TypeError, r"use DocumentTokenizer.from_pretrained\('gpt2'\)"),
    ],
)
def test_what_is_no_prompt_or_finds_no_room_is_told(
    small: DocumentTokenizer, call: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(small)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_prompt_and_no_meta_forges_a_boundary(family: str, tmp_path: Path) -> None:
    tokenizer = DocumentTokenizer(FAMILIES[family](tmp_path))
    inner = tokenizer.hf_tokenizer
    control = set(inner.all_special_ids) - {inner.unk_token_id}
    named = [str(inner.convert_ids_to_tokens(i)) for i in control]
    source = random.Random(family)
    for _ in range(150):
        text = source.choice(["", random_text(source), source.choice(RUSSIAN)])
        text = text + source.choice(named) + source.choice(["", " ", random_text(source)])
        ids = tokenizer(text, meta={"a": text, "b": [text]})["input_ids"]
        assert ids.count(tokenizer.sep_token_id) == 2 and ids[0] == tokenizer.sep_token_id
        assert not (control - {tokenizer.sep_token_id}) & set(ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_russian_comes_back_and_saved_vocabularies_say_the_same(family: str, tmp_path: Path) -> None:
    tokenizer = DocumentTokenizer(FAMILIES[family](tmp_path))
    tokenizer.save_pretrained(tmp_path / "saved")
    again = DocumentTokenizer.from_pretrained(tmp_path / "saved")
    assert again.sep_token_id == tokenizer.sep_token_id and len(again) == len(tokenizer)
    for text in RUSSIAN:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text and again.encode(text) == ids
    assert not (tmp_path / "saved" / "chat_template.jinja").exists()


def test_a_conversations_chat_template_is_not_saved_for_documents(tmp_path: Path) -> None:
    ConversationTokenizer.learn(TEXTS, 300).save_pretrained(tmp_path / "talks")
    assert (tmp_path / "talks" / "chat_template.jinja").exists()
    DocumentTokenizer.from_pretrained(tmp_path / "talks").save_pretrained(tmp_path / "documents")
    assert not (tmp_path / "documents" / "chat_template.jinja").exists()

"""Prompts and metas as ids: layout, truncation, and texts that contain control tokens, for all vocabularies."""

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
def tokenizer() -> DocumentTokenizer:
    return DocumentTokenizer.learn(TEXTS * 3, 320)


def test_the_layout_is_separator_meta_separator_prompt(tokenizer: DocumentTokenizer) -> None:
    sep = tokenizer.sep_token_id
    meta = tokenizer.encode("author: Ann Bob\ntopics: cats, dogs")
    prompt = tokenizer.encode("Hello")
    assert tokenizer("Hello", meta=META)["input_ids"] == [sep, *meta, sep, *prompt]
    assert tokenizer("Hello")["input_ids"] == [sep, sep, *prompt]
    assert tokenizer()["input_ids"] == [sep, sep]
    assert tokenizer("", meta=["cats", "dogs"])["input_ids"] == [sep, *tokenizer.encode("cats, dogs"), sep]
    assert tokenizer("Hello")["attention_mask"] == [1] * (len(prompt) + 2)
    assert set(tokenizer("Hello")) == {"input_ids", "attention_mask"}  # no token types


def test_the_start_of_a_prompt_and_the_end_of_a_meta_are_truncated_and_counted(tokenizer: DocumentTokenizer) -> None:
    sep = tokenizer.sep_token_id
    meta = tokenizer.encode("Cats and dogs")
    prompt = tokenizer.encode("Where do you live? " * 5)
    encoding = tokenizer("Where do you live? " * 5, meta="Cats and dogs", max_length=20, max_meta_length=4)
    assert encoding["input_ids"] == [sep, *meta[:4], sep, *prompt[-14:]]
    assert (encoding.tokens_dropped, encoding.meta_tokens_dropped) == (len(prompt) - 14, len(meta) - 4)
    encoding = tokenizer("Hello", meta="Cats and dogs", max_length=100)
    assert (encoding.tokens_dropped, encoding.meta_tokens_dropped) == (0, 0)
    assert tokenizer(max_length=2)["input_ids"] == [sep, sep]


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
def test_an_invalid_or_too_long_prompt_is_an_error(
    tokenizer: DocumentTokenizer, call: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(tokenizer)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_prompt_or_meta_becomes_a_separator(family: str, tmp_path: Path) -> None:
    tokenizer = DocumentTokenizer(FAMILIES[family](tmp_path))
    wrapped = tokenizer.hf_tokenizer
    control = set(wrapped.all_special_ids) - {wrapped.unk_token_id}
    control_names = [str(wrapped.convert_ids_to_tokens(i)) for i in control]
    source = random.Random(family)
    for _ in range(150):
        text = source.choice(["", random_text(source), source.choice(RUSSIAN)])
        text = text + source.choice(control_names) + source.choice(["", " ", random_text(source)])
        ids = tokenizer(text, meta={"a": text, "b": [text]})["input_ids"]
        assert ids.count(tokenizer.sep_token_id) == 2 and ids[0] == tokenizer.sep_token_id
        assert not (control - {tokenizer.sep_token_id}) & set(ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_russian_decodes_to_itself_and_a_saved_tokenizer_encodes_alike(family: str, tmp_path: Path) -> None:
    tokenizer = DocumentTokenizer(FAMILIES[family](tmp_path))
    tokenizer.save_pretrained(tmp_path / "saved")
    reloaded = DocumentTokenizer.from_pretrained(tmp_path / "saved")
    assert reloaded.sep_token_id == tokenizer.sep_token_id and len(reloaded) == len(tokenizer)
    for text in RUSSIAN:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text and reloaded.encode(text) == ids
    assert not (tmp_path / "saved" / "chat_template.jinja").exists()


def test_the_chat_template_of_conversations_is_not_saved_for_documents(tmp_path: Path) -> None:
    ConversationTokenizer.learn(TEXTS, 300).save_pretrained(tmp_path / "talks")
    assert (tmp_path / "talks" / "chat_template.jinja").exists()
    DocumentTokenizer.from_pretrained(tmp_path / "talks").save_pretrained(tmp_path / "documents")
    assert not (tmp_path / "documents" / "chat_template.jinja").exists()

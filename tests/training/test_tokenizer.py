"""The tokenizer of a run: resolved once, shared by model and data, and kept in checkpoints as text."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pytorch_lightning")

from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from convmodel.training import ConversationDataModule, ConversationModule, DocumentDataModule, DocumentModule, connect
from convmodel.training.tokenizer import tokenizer_files, tokenizer_from
from tests.training.test_language_module import SIZES


@pytest.fixture
def talks(tmp_path: Path) -> Any:
    file = tmp_path / "train.jsonl"
    file.write_text('["Hello", "Hi!"]\n["How are you?", "Fine"]\n', encoding="utf-8")
    return ConversationDataModule(str(file), cache_dir=str(tmp_path / "cache"))


def test_a_vocabulary_is_learned_once_and_shared(talks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ConversationModule(from_scratch=SIZES)
    connect(module, talks)
    assert module.tokenizer is not None and module.tokenizer is talks._tokenizer
    assert len(module.tokenizer) <= SIZES.vocab_size
    monkeypatch.setattr(ConversationTokenizer, "learn", lambda *_: pytest.fail("the vocabulary is in the cache"))
    again = ConversationModule(from_scratch=SIZES)
    connect(again, talks)
    assert again.tokenizer is not None
    assert again.tokenizer.encode("Hello") == module.tokenizer.encode("Hello")


def test_a_tokenizer_that_the_module_has_is_kept(talks: Any, tmp_path: Path) -> None:
    module = ConversationModule(from_scratch=SIZES)
    module.tokenizer = ConversationTokenizer.learn(["other words"], 300)
    connect(module, talks)
    assert talks._tokenizer is module.tokenizer
    assert not (tmp_path / "cache" / "vocabularies").exists()


def test_a_document_module_takes_the_lengths_of_its_data(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text('{"body": "All cats are grey"}\n', encoding="utf-8")
    module = DocumentModule(from_scratch=SIZES)
    data = DocumentDataModule(str(file), max_meta_length=5, max_body_length=20, overlap=4, cache_dir=str(tmp_path))
    connect(module, data)
    assert module.extra_config == {"max_meta_length": 5, "max_body_length": 20}
    assert isinstance(module.tokenizer, DocumentTokenizer)


def test_a_tokenizer_comes_back_from_its_files() -> None:
    tokenizer = ConversationTokenizer.learn(["Hello", "Привет, 元気?"], 400)
    files = tokenizer_files(tokenizer)
    assert {"tokenizer.json", "tokenizer_config.json"} <= files.keys() and all(map(str, files.values()))
    again = tokenizer_from(files, ConversationTokenizer)
    text = "Hello, Привет 元気 <sep>"
    assert again.encode(text) == tokenizer.encode(text) and again.sep_token_id == tokenizer.sep_token_id

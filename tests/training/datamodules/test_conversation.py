"""The data module of conversations: windows, their batches, and errors that name the option."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("pytorch_lightning")

from convmodel.data.conversation import Conversation, write_conversations
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.turn_windows import TrainOn
from convmodel.training.datamodules.base import ModelInputs
from convmodel.training.datamodules.conversation import ConversationDataModule
from convmodel.training.metrics import CorpusStats
from tests.training.datamodules.helpers import set_up

TALKS = [
    Conversation(("Hello", "Hi!")),
    Conversation(("I like the rain.", "Me too.", "Why?"), ("I like rain.",)),
    Conversation(("How are you?", "I am fine, and you?", "Fine.")),
]


def data_of(folder: Path, talks: list[Conversation], *, train_on: TrainOn = "all", **options: Any) -> Any:
    write_conversations(talks, folder / "train.jsonl")
    data = ConversationDataModule(str(folder / "train.jsonl"), cache_dir=str(folder / "cache"), **options)
    inputs = ModelInputs("ConversationDataModule", 64, train_on)
    set_up(data, inputs, tokenizer_class=ConversationTokenizer)
    return data


@pytest.mark.parametrize(("train_on", "turns"), [("all", 8), ("last", 3), ("second_speaker", 3)])
def test_each_target_turn_is_predicted_once_with_its_separator(tmp_path: Path, train_on: TrainOn, turns: int) -> None:
    data = data_of(tmp_path, TALKS, train_on=train_on, tokens_per_batch=128)
    separator = data._tokenizer.sep_token_id
    labels = [batch["labels"] for batch in data.train_dataloader()]
    assert sum(int((part == separator).sum()) for part in labels) == turns
    if train_on == "all":
        texts = [text for talk in TALKS for text in talk.turns]
        expected = sum(len(ids) + 1 for ids in data._tokenizer.encode_many(texts))
        assert sum(int((part != -100).sum()) for part in labels) == expected


def test_a_batch_stays_within_the_budget_and_counts_the_persona_as_metadata(tmp_path: Path) -> None:
    data = data_of(tmp_path, TALKS * 10, tokens_per_batch=64)
    batches = list(data.train_dataloader())
    assert all(batch["input_ids"].numel() <= 64 for batch in batches) and len(batches) > 1
    persona = len(data._tokenizer.encode("I like rain.")) + 1
    assert sorted(set(torch.cat([batch["metadata"] for batch in batches]).tolist())) == [0, persona]


def test_the_counts_of_a_split_are_conversations_and_words(tmp_path: Path) -> None:
    data = data_of(tmp_path, TALKS)
    words = sum(len(text.split()) for talk in TALKS for text in talk.turns)
    assert data.corpus_stats("train") == CorpusStats("conversations", 3, {"word": words})
    assert list(data.examples("train")) == TALKS and list(data.examples("valid")) == []


def test_a_persona_that_leaves_no_room_is_an_error_or_skipped_and_counted(tmp_path: Path) -> None:
    talks = [*TALKS, Conversation(("Hello", "Hi!"), ("I like the rain and the sea. " * 20,))]
    with pytest.raises(ValueError, match=r"train.jsonl: conversation 4 has a persona that leaves no room.*max_length"):
        data_of(tmp_path, talks)
    skipping = data_of(tmp_path, talks, on_error="skip")
    assert skipping.described["train"].endswith("1 skipped for their long persona")
    assert skipping.corpus_stats("train").count == 3


def test_a_window_context_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"window_context=1.5; allowed are 0.0 to 1.0"):
        ConversationDataModule(window_context=1.5)


def test_a_model_that_reads_other_examples_is_refused_with_the_data_module_to_use() -> None:
    data = ConversationDataModule("train.jsonl")
    with pytest.raises(ValueError, match=r"but the model reads the examples of a SelectionDataModule; give --data"):
        data.accept(ConversationTokenizer.learn(["Hello"], 300), ModelInputs("SelectionDataModule", 64))


def test_batches_before_connect_are_an_error_with_the_remedy(tmp_path: Path) -> None:
    write_conversations(TALKS, tmp_path / "train.jsonl")
    data = ConversationDataModule(str(tmp_path / "train.jsonl"))
    with pytest.raises(ValueError, match=r"call convmodel\.training\.connect\(module, data\) first"):
        data._store(str(tmp_path / "train.jsonl"))

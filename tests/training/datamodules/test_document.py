"""Batches of documents: what is in them, how full they are, and that they go on exactly where they were left."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pytorch_lightning")

from convmodel.data.document import Document, write_documents
from convmodel.tokens.batching import TokenBudgetSampler
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.training.datamodules.base import ModelInputs
from convmodel.training.datamodules.document import LENGTH_STEP, MAX_PADDING, DocumentDataModule, MetaDropout
from tests.training.datamodules import helpers

TOPICS = [None, "Cats", ["Cats", "dogs"], {"topic": "Cats", "year": 1999}]


def random_documents(source: random.Random, number: int) -> list[Document]:
    words = ["cats", "dogs", "are", "grey", "at", "night", "and", "sleep", "by", "day"]
    return [
        Document(" ".join(source.choices(words, k=int(source.lognormvariate(3, 1)) + 1)), source.choice(TOPICS))
        for _ in range(number)
    ]


def set_up(data: DocumentDataModule, command: str = "fit", *, n_positions: int = 64) -> DocumentDataModule:
    inputs = ModelInputs("DocumentDataModule", n_positions, max_meta_length=64)
    helpers.set_up(data, inputs, tokenizer_class=TextTokenizer, command=command)
    return data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = random.Random(0)
    for name, number in {"train": 80, "valid": 20, "test": 20}.items():
        write_documents(random_documents(source, number), tmp_path / f"{name}.jsonl")
    return tmp_path


def data_of(folder: Path, **options: Any) -> DocumentDataModule:
    given: dict[str, Any] = {"tokens_per_batch": 256, "overlap": 8, "cache_dir": str(folder / "cache"), **options}
    files = {f"{name}_file": str(folder / f"{name}.jsonl") for name in ("train", "valid", "test")}
    return DocumentDataModule(**{**files, **given})


def drawn(loader: Any, epoch: int) -> Iterator[dict[str, list[list[int]]]]:
    loader.set_epoch(epoch)
    return ({name: values.tolist() for name, values in batch.items()} for batch in loader)


def rows(batches: Any) -> list[tuple[list[int], list[int]]]:
    """Ids and labels of all rows, without the padding behind the last separator or token."""
    found = []
    for batch in batches:
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            stop = max(place for place, label in enumerate(labels) if label != IGNORED) + 1
            found.append((ids[:stop], labels[:stop]))
    return found


def test_every_document_of_a_file_is_predicted_whole_in_every_epoch(folder: Path) -> None:
    data = set_up(data_of(folder, ignore_meta_prob=0.5))
    tokenizer = data._tokenizer
    wanted = sorted([*tokenizer.encode(each.body), tokenizer.sep_token_id] for each in data.examples("train"))
    windows = data._sets["train"]
    assert windows.documents == 80 and len(windows) > 90 and windows.split > 0
    for epoch in range(2):
        found = rows(drawn(data.train_dataloader(), epoch))
        assert len(found) == len(windows)
        predicted = sorted(label for _, labels in found for label in labels if label != IGNORED)
        assert predicted == sorted(token for each in wanted for token in each)
        assert windows.predicted == len(predicted)


def test_batches_have_no_token_types_and_stay_within_the_budget(folder: Path) -> None:
    data = set_up(data_of(folder))
    for batch in drawn(data.train_dataloader(), 0):
        assert batch.keys() == {"input_ids", "labels", "metadata"}
        ids, labels = np.array(batch["input_ids"]), np.array(batch["labels"])
        assert ids.shape == labels.shape and (ids.size <= 256 or len(ids) == 1) and ids.shape[1] <= 64
        assert (ids[labels != IGNORED] == labels[labels != IGNORED]).all()
        sep = data._tokenizer.sep_token_id
        assert batch["metadata"] == [row.tolist().index(sep, 1) + 1 for row in ids]  # behind the second separator


def with_meta(found: list[tuple[list[int], list[int]]], sep: int) -> int:
    return sum(ids[:2] != [sep, sep] for ids, _ in found)


def test_some_documents_lose_their_meta_in_training_others_in_each_epoch_and_none_in_validation(folder: Path) -> None:
    data = set_up(data_of(folder, ignore_meta_prob=0.3))
    sep, windows = data._tokenizer.sep_token_id, data._sets["train"]
    having = int((windows.kept_meta_lengths[windows.document] > 0).sum())
    counts = [with_meta(rows(drawn(data.train_dataloader(), epoch)), sep) for epoch in range(40)]
    assert abs(1 - sum(counts) / len(counts) / having - 0.3) < 0.03
    assert len(set(counts)) > 5
    valid = data._sets["valid"]
    batches = data.val_dataloader()
    for _ in range(2):
        assert with_meta(rows(drawn(batches, 0)), sep) == (valid.kept_meta_lengths[valid.document] > 0).sum()


@pytest.mark.parametrize(("probability", "share"), [(0.0, 1), (1.0, 0)])
def test_always_and_never_are_meant(folder: Path, probability: float, share: int) -> None:
    data = set_up(data_of(folder, ignore_meta_prob=probability))
    windows = data._sets["train"]
    found = with_meta(rows(drawn(data.train_dataloader(), 0)), data._tokenizer.sep_token_id)
    assert found == share * (windows.kept_meta_lengths[windows.document] > 0).sum()


def test_which_window_loses_its_meta_depends_on_seed_epoch_and_window_alone() -> None:
    def lost(order_seed: int, seed: int, epoch: int) -> set[int]:
        sampler = TokenBudgetSampler([10] * 200, tokens_per_batch=40, shuffle=True, seed=order_seed)
        chosen = MetaDropout(sampler, 200, probability=0.5, seed=seed).epoch(epoch)
        return {int(n) for batch in chosen for n in batch.indices[batch.without_meta]}

    assert lost(0, 1, 2) == lost(5, 1, 2)
    assert len({frozenset(lost(0, seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_batches_go_on_in_mid_epoch_as_though_nothing_had_happened(folder: Path) -> None:
    options = {"ignore_meta_prob": 0.5}
    whole = set_up(data_of(folder, **options)).train_dataloader()
    wanted = [list(drawn(whole, epoch)) for epoch in range(2)]
    first = set_up(data_of(folder, **options)).train_dataloader()
    list(drawn(first, 0))
    begun = drawn(first, 1)
    found = [next(begun) for _ in range(3)]
    rest = set_up(data_of(folder, **options)).train_dataloader()
    rest.load_state_dict(first.state_dict())
    assert wanted[1] == [*found, *drawn(rest, 1)]
    assert wanted[0] != wanted[1]


def test_tokens_are_written_once_and_again_when_files_are_read_otherwise(folder: Path) -> None:
    (folder / "train.txt").write_text("One\n\nTwo\n\nThree")
    files = {name: str(folder / "train.txt") for name in ("train_file", "valid_file")}
    assert set_up(data_of(folder, **files))._sets["train"].documents == 3
    stores = set((folder / "cache" / "tokens").iterdir())
    assert set_up(data_of(folder, **files))._sets["train"].documents == 3
    assert set((folder / "cache" / "tokens").iterdir()) == stores
    assert set_up(data_of(folder, format="file", **files))._sets["train"].documents == 1


def test_what_a_table_needs_is_counted(folder: Path) -> None:
    data = set_up(data_of(folder, ignore_meta_prob=1.0), "test")
    windows, documents = data._sets["test"], list(data.examples("test"))
    assert windows.documents == len(documents) == 20
    assert windows.source.words == sum(len(each.body.split()) for each in documents)
    assert windows.source.bytes == sum(len(each.body.encode()) for each in documents)
    assert windows.predicted == sum(len(data._tokenizer.encode(each.body)) + 1 for each in documents)
    assert not list(data_of(folder, valid_file=None).examples("valid"))


def test_what_a_file_came_to_is_told(folder: Path) -> None:
    lines = [{"body": "x " * 200, "meta": "long " * 50, "id": 3}, {"body": ""}, {"body": "y"}]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data = set_up(data_of(folder, on_error="skip", max_meta_length=5))
    path = folder / "train.jsonl"
    assert data.described["train"] == (
        f"{path}: JSON Lines, 2 documents, 1 with meta, other keys not used: 'id'; 1 line skipped: first {path}:2: "
        "body is empty; remove it or give it text; 1 longer than a window of 64, cut into windows; "
        "1 meta cut to 5 tokens"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"train_file": None}, "data.train_file is not given; fit reads its documents"),
        ({"max_length": 65}, "data.max_length=65, but the model reads 64 tokens at most"),
        ({"overlap": 62}, "max_length=64 has room for 62 tokens of the body, and overlap=62 of them are repeated"),
        ({"max_length": 12, "max_meta_length": 9}, r"train.jsonl: max_length=12 has room for .* tokens of meta"),
        ({"format": "cvs"}, "data.format=cvs: allowed are python, jsonl, json, "),
    ],
)
def test_wrong_options_are_told(folder: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        set_up(data_of(folder, **options))


def test_a_probability_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match=r"data.ignore_meta_prob=1.5; allowed are 0.0 to 1.0"):
        DocumentDataModule(ignore_meta_prob=1.5)


# Padding


def share_of_padding(sampler: TokenBudgetSampler, lengths: np.ndarray, epoch: int) -> float:
    tokens = sum(len(batch) * int(lengths[batch].max()) for batch in sampler.epoch(epoch))
    return 1 - int(lengths.sum()) / tokens


@pytest.mark.parametrize("budget", [512, 2048, 16384])
@pytest.mark.parametrize("number", [1, 10, 400, 5000])
def test_padding_is_at_most_two_percent_in_every_epoch(number: int, budget: int) -> None:
    """Lengths as those of sections of a book: few very short ones, many of a few hundred, some as long as a window."""
    random = np.random.default_rng(number)
    lengths = np.clip(random.lognormal(5.5, 0.9, number).astype(int), 4, 512)
    sampler = TokenBudgetSampler(
        lengths, tokens_per_batch=budget, shuffle=True, length_step=LENGTH_STEP, max_padding=MAX_PADDING
    )
    assert all(share_of_padding(sampler, lengths, epoch) <= MAX_PADDING for epoch in range(5))
    plain = TokenBudgetSampler(lengths, tokens_per_batch=budget, shuffle=True, length_step=LENGTH_STEP)
    if number == 5000:  # where there are many, batches are as full as they would be
        assert len(sampler) <= 1.05 * len(plain)


def test_less_padding_than_shuffling_takes_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match=r"max_padding=0.02; with length_step=1.04 it must be higher"):
        TokenBudgetSampler([1], tokens_per_batch=9, shuffle=True, max_padding=0.02)


@pytest.mark.data
@pytest.mark.parametrize("length", [512, 1024])
def test_the_real_documents_are_padded_by_at_most_two_percent(data_folder: Path, tmp_path: Path, length: int) -> None:
    files = {f"{name}_file": str(data_folder / "nietzsche" / f"{name}.documents") for name in ("train", "valid")}
    data = set_up(DocumentDataModule(**files, cache_dir=str(tmp_path)), n_positions=length)  # type: ignore[arg-type]
    tokens = batches = 0
    for batch in data.train_dataloader():
        tokens += batch["input_ids"].numel()
        batches += 1
    assert 0 < 1 - int(data._sets["train"].lengths.sum()) / tokens <= 0.02
    assert tokens / batches > 0.85 * 2048

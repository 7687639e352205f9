"""The example documents: reproducible, with kinds in their metas, and without typical mistakes of a grammar."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from convmodel.data.document import Document, read_documents
from tests.test_example_data import FOLDER, MISTAKES, imported

COUNTS = {"train": 1600, "valid": 100, "test": 100}
KINDS = ("animals", "fables", "recipes", "weather")


@pytest.fixture(scope="module")
def make_documents() -> Iterator[ModuleType]:
    with imported("make_documents") as module:
        yield module


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Document]]:
    return {split: list(read_documents(FOLDER / f"documents-{split}.jsonl")) for split in COUNTS}


@pytest.fixture(scope="module")
def all_documents(splits: dict[str, list[Document]]) -> list[Document]:
    return [document for split in COUNTS for document in splits[split]]


def metas_of(documents: list[Document]) -> list[tuple[str, ...]]:
    metas = []
    for document in documents:
        if document.meta is not None:
            assert isinstance(document.meta, tuple)
            metas.append(tuple(map(str, document.meta)))
    return metas


def test_the_script_writes_the_committed_files_byte_for_byte(
    make_documents: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_documents.py", "--output", str(tmp_path)])
    make_documents.main()
    for split in COUNTS:
        name = f"documents-{split}.jsonl"
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_the_splits_have_their_sizes_and_all_bodies_are_different(
    splits: dict[str, list[Document]], all_documents: list[Document]
) -> None:
    assert {split: len(documents) for split, documents in splits.items()} == COUNTS
    assert max(Counter(document.body.casefold() for document in all_documents).values()) == 1


def test_all_kinds_are_in_every_split_and_most_documents_have_a_meta(splits: dict[str, list[Document]]) -> None:
    for documents in splits.values():
        metas = metas_of(documents)
        assert 0.03 < 1 - len(metas) / len(documents) < 0.15
        counts = Counter(meta[-1] for meta in metas)
        assert sorted(counts) == list(KINDS)
        assert min(counts.values()) > 0.15 * len(documents)


def test_the_body_of_a_document_is_about_its_meta(all_documents: list[Document]) -> None:
    for document in all_documents:
        for *topics, kind in metas_of([document]):
            assert all(topic.casefold() in document.body.casefold() for topic in topics[:1]), document
            assert ("degrees" in document.body or "outlook" in document.body.casefold()) <= (kind == "weather")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_there_is_never(mistake: str, all_documents: list[Document]) -> None:
    pattern = re.compile(MISTAKES[mistake])
    assert [document.body for document in all_documents if pattern.search(document.body)] == []


def test_every_line_is_a_complete_sentence(all_documents: list[Document]) -> None:
    for document in all_documents:
        for line in document.body.split("\n"):
            assert line == " ".join(line.split()) and line[-1] in '."?' and not line[0].islower(), document

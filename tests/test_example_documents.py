"""The example documents: reproducible, of kinds that their meta names, free of the mistakes that a grammar makes."""

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
def everything(splits: dict[str, list[Document]]) -> list[Document]:
    return [document for split in COUNTS for document in splits[split]]


def metas_of(documents: list[Document]) -> list[tuple[str, ...]]:
    found = []
    for document in documents:
        if document.meta is not None:
            assert isinstance(document.meta, tuple)
            found.append(tuple(map(str, document.meta)))
    return found


def test_the_script_writes_the_committed_files_byte_for_byte(
    make_documents: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_documents.py", "--output", str(tmp_path)])
    make_documents.main()
    for split in COUNTS:
        name = f"documents-{split}.jsonl"
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_the_splits_have_their_sizes_and_no_body_stands_twice(
    splits: dict[str, list[Document]], everything: list[Document]
) -> None:
    assert {split: len(found) for split, found in splits.items()} == COUNTS
    assert max(Counter(document.body.casefold() for document in everything).values()) == 1


def test_all_kinds_are_in_every_split_and_nearly_all_documents_name_theirs(splits: dict[str, list[Document]]) -> None:
    for documents in splits.values():
        metas = metas_of(documents)
        assert 0.03 < 1 - len(metas) / len(documents) < 0.15
        found = Counter(meta[-1] for meta in metas)
        assert sorted(found) == list(KINDS)
        assert min(found.values()) > 0.15 * len(documents)


def test_a_document_is_about_what_its_meta_says(everything: list[Document]) -> None:
    for document in everything:
        for *about, kind in metas_of([document]):
            assert all(each.casefold() in document.body.casefold() for each in about[:1]), document
            assert ("degrees" in document.body or "outlook" in document.body.casefold()) <= (kind == "weather")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_there_is_never(mistake: str, everything: list[Document]) -> None:
    pattern = re.compile(MISTAKES[mistake])
    assert [document.body for document in everything if pattern.search(document.body)] == []


def test_every_line_is_whole(everything: list[Document]) -> None:
    for document in everything:
        for line in document.body.split("\n"):
            assert line == " ".join(line.split()) and line[-1] in '."?' and not line[0].islower(), document

"""Damaged files, and the lock of an index."""

import json
import os
from pathlib import Path

import pytest

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.index import storage
from convmodel.models.selection.index.build import build_index
from convmodel.models.selection.index.index import CandidateIndex
from tests.models.selection.index.candidates import given

pytestmark = pytest.mark.machine


def test_damaged_files_are_reported(selector: BiEncoder, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    build_index(selector, given(), folder)
    described = json.loads((folder / storage.INDEX).read_text())
    (folder / storage.INDEX).write_text(json.dumps(described | {"version": 99}))
    with pytest.raises(ValueError, match=r"unsupported index version 99 \(expected 1\)"):
        CandidateIndex.open(folder, selector)
    (folder / storage.INDEX).write_text("{")
    with pytest.raises(ValueError, match=r"index.json: is damaged .* rebuild the index"):
        CandidateIndex.open(folder, selector)
    (folder / storage.INDEX).write_text(json.dumps(described))
    os.truncate(folder / storage.VECTORS, 100)
    with pytest.raises(ValueError, match=r"vectors.bin: is cut off \(100 of 1,920 bytes\)"):
        CandidateIndex.open(folder, selector)


def test_one_process_at_a_time_changes_an_index(selector: BiEncoder, tmp_path: Path) -> None:
    def second(done: int, total: int) -> None:
        with pytest.raises(ValueError, match="another process changes this index"):
            build_index(selector, given(), tmp_path / "index")

    assert build_index(selector, given(), tmp_path / "index", progress=second).added == 30


def test_digests_ignore_surrounding_white_space() -> None:
    assert storage.digest_text(" a\n") == storage.digest_text("a") != storage.digest_text("A")
    assert storage.DIGEST.itemsize == len(storage.digest_text("a"))

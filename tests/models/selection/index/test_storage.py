"""Damaged files, and the lock of an index."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from convmodel.data.candidates import CandidateText
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.index import storage
from convmodel.models.selection.index.build import build_index, remove_candidates
from convmodel.models.selection.index.index import CandidateIndex
from tests.data.test_json_file import POINTER
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
    with pytest.raises(ValueError, match=r"index.json:1: is not JSON .* rebuild the index"):
        CandidateIndex.open(folder, selector)
    (folder / storage.INDEX).write_text(json.dumps(described))
    os.truncate(folder / storage.VECTORS, 100)
    with pytest.raises(ValueError, match=r"vectors.bin: is cut off \(100 of 1,920 bytes\)"):
        CandidateIndex.open(folder, selector)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", "x"),
        ("count", -1),
        ("count", True),
        ("width", 1.5),
        ("dtype", "int32"),
        ("kind", None),
        ("removed", -1),
        ("removed_file", "../../secret.bin"),
        ("removed_file", 7),
    ],
)
def test_an_impossible_value_of_the_manifest_is_named(
    selector: BiEncoder, tmp_path: Path, name: str, value: object
) -> None:
    build_index(selector, given(), tmp_path)
    described = json.loads((tmp_path / storage.INDEX).read_text())
    (tmp_path / storage.INDEX).write_text(json.dumps(described | {name: value}))
    with pytest.raises(ValueError, match=rf"index\.json: is damaged \({name} is .*\); rebuild the index"):
        CandidateIndex.open(tmp_path, selector)


FILES = ("vectors.bin", "digests.bin", "texts.ends", "texts.bytes", "metadata.ends", "removed-1.bin")


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_an_index_is_told_when_it_is_missing_cut_off_or_a_pointer(
    selector: BiEncoder, tmp_path: Path, name: str
) -> None:
    build_index(selector, given(), tmp_path)
    remove_candidates(tmp_path, selector, numbers=[3])
    CandidateIndex.open(tmp_path, selector)
    file = tmp_path / name
    os.truncate(file, 5)
    with pytest.raises(ValueError, match=rf"{name}: is cut off \(5 of [\d,]+ bytes\); rebuild the index"):
        CandidateIndex.open(tmp_path, selector)
    file.write_text(POINTER)
    with pytest.raises(ValueError, match=f"{name}: is a pointer of Git LFS"):
        CandidateIndex.open(tmp_path, selector)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}: is missing; rebuild the index"):
        CandidateIndex.open(tmp_path, selector)


def test_removed_numbers_out_of_range_are_damage(selector: BiEncoder, tmp_path: Path) -> None:
    build_index(selector, given(), tmp_path)
    remove_candidates(tmp_path, selector, numbers=[3, 5])
    for numbers in ([3, 99], [-1, 3], [5, 3], [3, 3]):
        np.array(numbers, dtype=np.int64).tofile(tmp_path / "removed-2.bin")
        with pytest.raises(ValueError, match=r"removed-2\.bin: is damaged; rebuild the index"):
            CandidateIndex.open(tmp_path, selector)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused_by_a_search(selector: BiEncoder, tmp_path: Path, value: float) -> None:
    build_index(selector, given(), tmp_path)
    vectors = np.fromfile(tmp_path / storage.VECTORS, dtype=np.float32)
    vectors[100] = value
    vectors.tofile(tmp_path / storage.VECTORS)
    index = CandidateIndex.open(tmp_path, selector)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"vectors\.bin: holds NaN or infinity; rebuild the index"):
            index.search(selector.encode_contexts([["Hello"]]), 3)


def test_texts_and_metadata_with_other_bytes_are_damage(selector: BiEncoder, tmp_path: Path) -> None:
    build_index(selector, [CandidateText("one", {"a": 1}), CandidateText("two", {"b": 2})], tmp_path)
    (tmp_path / "texts.bytes").write_bytes(b"\xff" * 6)
    (tmp_path / "metadata.bytes").write_bytes(b"[1]     [2]     ")
    index = CandidateIndex.open(tmp_path, selector)
    with pytest.raises(ValueError, match=r"texts\.bytes: is damaged at candidate 1; rebuild the index"):
        index.text(1)
    with pytest.raises(ValueError, match=r"metadata\.bytes: is damaged at candidate 0"):
        index.metadata(0)
    np.array([9**9, 6], dtype=np.int64).tofile(tmp_path / "texts.ends")
    with pytest.raises(ValueError, match=r"texts\.ends: is damaged; rebuild the index"):
        CandidateIndex.open(tmp_path, selector).text(0)
    np.array([3, -6], dtype=np.int64).tofile(tmp_path / "texts.ends")
    with pytest.raises(ValueError, match=r"texts\.ends: is damaged; rebuild the index"):
        CandidateIndex.open(tmp_path, selector)


def test_one_process_at_a_time_changes_an_index(selector: BiEncoder, tmp_path: Path) -> None:
    def second(done: int, total: int) -> None:
        with pytest.raises(ValueError, match="another process changes this index"):
            build_index(selector, given(), tmp_path / "index")

    assert build_index(selector, given(), tmp_path / "index", progress=second).added == 30


def test_digests_ignore_surrounding_white_space() -> None:
    assert storage.digest_text(" a\n") == storage.digest_text("a") != storage.digest_text("A")
    assert storage.DIGEST.itemsize == len(storage.digest_text("a"))

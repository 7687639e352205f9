"""Folders of corpora: what an interrupted run finds, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.corpus_dump import write_dump
from convmodel.data.corpus.folder import REPORT, default_buckets, finish, open_folder
from convmodel.data.corpus.steps import CorpusPlan, make_stages, read_counts

OPTIONS: dict[str, Any] = {
    **{"dump": "reddit", "format": ".jsonl", "valid": 0.1, "test": 0.1, "words": [], "language": None},
    **{"min_words": 1, "max_words": 128, "min_turns": 2, "max_turns": 20},
    **{"certainty": 0.8, "similarity": None, "buckets": 2},
}


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    write_dump(tmp_path / "RC_1.zst", 50)
    return tmp_path / "RC_1.zst"


def open_plan(folder: Path, dump: Path, **options: Any) -> CorpusPlan:
    return open_folder(str(folder), [str(dump)], OPTIONS | options)


def test_an_interrupted_corpus_goes_on_with_the_same_options_and_files_only(tmp_path: Path, dump: Path) -> None:
    plan = open_plan(tmp_path / "corpus", dump)
    assert open_plan(tmp_path / "corpus", dump) == plan
    for changed in ({"min_turns": 3}, {"buckets": 3}, {"words": ["damn"]}):
        with pytest.raises(ValueError, match="an interrupted corpus of other options or files"):
            open_plan(tmp_path / "corpus", dump, **changed)
    write_dump(dump, 60)
    with pytest.raises(ValueError, match="of other options or files"):
        open_plan(tmp_path / "corpus", dump)


def test_a_finished_corpus_and_other_files_are_not_overwritten(tmp_path: Path, dump: Path) -> None:
    plan = open_plan(tmp_path / "corpus", dump)
    finish(plan, {"comments": {}})
    assert [file.name for file in plan.output.iterdir()] == [REPORT]
    with pytest.raises(FileExistsError, match="holds a finished corpus"):
        open_plan(tmp_path / "corpus", dump)
    with pytest.raises(FileExistsError, match="holds other files"):
        open_plan(tmp_path, dump)


def test_missing_files_and_wrong_options_are_errors(tmp_path: Path, dump: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file matches"):
        open_folder(str(tmp_path / "corpus"), [str(tmp_path / "*.gz")], OPTIONS)
    with pytest.raises(ValueError, match="--language english"):
        open_plan(tmp_path / "corpus", dump, language="english")
    assert not (tmp_path / "corpus").exists()


def test_a_folder_of_dumps_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "dumps" / "2019"
    folder.mkdir(parents=True)
    write_dump(folder / "RC_2019-01.zst", 10)
    write_dump(folder / "RC_2019-02.jsonl", 10)
    plan = open_folder(str(tmp_path / "corpus"), [str(tmp_path / "dumps")], OPTIONS)
    assert [Path(path).name for path in plan.inputs] == ["RC_2019-01.zst", "RC_2019-02.jsonl"]


def test_the_number_of_buckets_grows_with_the_input(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large.zst"
    small.write_bytes(b"x")
    with open(large, "wb") as file:
        file.truncate(8 * 2**30)
    assert default_buckets([str(small)]) == 16 and default_buckets([str(small), str(large)]) == 256


def test_dumps_at_addresses_are_read(tmp_path: Path, dump: Path) -> None:
    plan = open_folder(str(tmp_path / "corpus"), [f"file://{dump}"], OPTIONS)
    for steps in make_stages(plan).values():
        for step in steps:
            step()
    assert read_counts(plan)["split"]["kept"] > 20

"""The command corpus."""

import json
from pathlib import Path

import pytest

from benchmarks.corpus_dump import write_dump
from convmodel.__main__ import main
from convmodel.data.conversation import read_conversations


@pytest.fixture
def dump(tmp_path: Path) -> str:
    write_dump(tmp_path / "RC_1.zst", 800)
    return str(tmp_path / "RC_1.zst")


def run(dump: str, output: Path, *options: str) -> int:
    return main(["corpus", "reddit", "--input", dump, "--output", str(output), "--buckets", "3", *options])


def test_a_dump_becomes_files_that_are_read_by_a_glob(
    tmp_path: Path, dump: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "corpus"
    assert run(dump, output, "--valid", "0.2", "--workers", "1") == 0
    report = json.loads((output / "corpus.json").read_text(encoding="utf-8"))
    printed = capsys.readouterr().out
    assert "comments: 801 read" in printed and f"{output}: written" in printed
    for split in ("train", "valid"):
        found = list(read_conversations(f"{output}/{split}-*.jsonl.zst"))
        assert len(found) == report["conversations"][split] > 0
    assert not (output / ".steps").exists() and (output / "corpus.html").exists()


def test_stages_and_shares_give_the_same_files(tmp_path: Path, dump: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(dump, tmp_path / "whole", "--workers", "1")
    for stage in ("split", "build", "write"):
        for worker in ("2/2", "1/2"):
            run(dump, tmp_path / "shared", "--stage", stage, "--step", worker, "--workers", "1")
    files = [{file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("whole", "shared")]
    assert files[0] == files[1] and len(files[0]) > 3


def test_stages_in_the_wrong_order_and_wrong_options_are_errors(
    tmp_path: Path, dump: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, message in (
        (["--stage", "build"], "--stage build: 1 of 1 steps of split are not finished; run them first"),
        (["--stage", "sign"], "--stage sign: needs --similarity"),
        (["--step", "1/2"], "--step needs --stage; allowed are split, build"),
        (["--ray", "--workers", "2"], "--ray runs as many workers as the cluster has room for; leave --workers out"),
        (["--stage", "split", "--step", "3/2"], "invalid _worker value"),
        (["--min-turns", "1"], "--min-turns 1 --max-turns 20"),
    ):
        with pytest.raises(SystemExit) as exit_:
            run(dump, tmp_path / "corpus", *options)
        assert exit_.value.code == 2 and message in capsys.readouterr().err


def test_words_of_a_file_are_left_out(tmp_path: Path, dump: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = tmp_path / "words.txt"
    words.write_text("Same\n\n", encoding="utf-8")
    run(dump, tmp_path / "corpus", "--words", str(words), "--format", ".jsonl", "--workers", "1")
    assert "a word of the list" in capsys.readouterr().out
    text = "".join(file.read_text(encoding="utf-8") for file in (tmp_path / "corpus").glob("*.jsonl"))
    assert "Same here" not in text and "turns" in text


def test_a_damaged_dump_is_an_error_with_its_name(
    tmp_path: Path, dump: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = Path(dump).read_bytes()
    Path(dump).write_bytes(content[: len(content) // 2])
    with pytest.raises(SystemExit):
        run(dump, tmp_path / "corpus", "--workers", "1")
    assert "RC_1.zst" in (error := capsys.readouterr().err) and "damaged or cut off" in error

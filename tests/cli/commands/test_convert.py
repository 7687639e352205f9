"""The command convert."""

import json
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.data.conversation import read_conversations


def test_conversations_are_written_as_json_lines_and_reversed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('["a", "b", "c"]\n["d"]\n["e", "f"]\n', encoding="utf-8")
    output = tmp_path / "out.jsonl"
    assert not main(["convert", str(source), str(output), "--on-error", "skip", "--reverse"])
    assert [conversation.turns for conversation in read_conversations(output)] == [("c", "b", "a"), ("f", "e")]
    assert f"{output}: 2 conversations written" in capsys.readouterr().out


def test_several_sources_become_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('["a", "b"]\n', encoding="utf-8")
    (tmp_path / "b.csv").write_text("context,response\nc,d\n", encoding="utf-8")
    sources = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.csv")]
    assert main(["convert", *sources, str(tmp_path / "out.jsonl")]) == 0
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["turns"] for line in lines] == [["a", "b"], ["c", "d"]]


def test_the_standard_input_is_not_read_together_with_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["convert", "-", str(tmp_path / "a.jsonl"), str(tmp_path / "out.jsonl")])
    assert "-: the standard input cannot be read together with files" in capsys.readouterr().err

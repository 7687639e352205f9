"""The command convert."""

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
    assert not main(["convert", str(source), str(output), "--on_error", "skip", "--reverse"])
    assert [conversation.turns for conversation in read_conversations(output)] == [("c", "b", "a"), ("f", "e")]
    assert f"{output}: 2 conversations written" in capsys.readouterr().out

"""Parquet files: rows of every shape, packed, and damaged."""

import datetime
import gzip
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError, ConversationReader
from convmodel.errors import install_command

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def written(path: Path, **columns: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_rows_of_known_names_are_read_and_meta_is_what_json_can_hold(tmp_path: Path) -> None:
    path = written(
        tmp_path / "x.bin",
        question=["a", None, "c"],
        answer=["b", "x", "d"],
        score=[0.5, 1.0, float("nan")],
        day=[datetime.date(2024, 5, 1)] * 3,
    )
    reader = ConversationReader(path, on_error="skip")
    assert list(reader) == [
        Conversation(["a", "b"], meta={"score": 0.5, "day": "2024-05-01"}),
        Conversation(["c", "d"], meta={"score": None, "day": "2024-05-01"}),
    ]
    assert "Parquet (question and answer), 2 conversations; 1 row skipped: first" in reader.report.summary()
    assert f"{path}:2: turn 1 is null" in reader.report.problems[0]


def test_columns_of_messages_are_read(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path = written(tmp_path / "x.parquet", messages=[messages] * 600)
    assert list(ConversationReader(path)) == [Conversation(["a", "b"])] * 600
    (tmp_path / "x.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert len(list(ConversationReader(tmp_path / "x.gz"))) == 600


def test_what_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "x.parquet", one=["a"], two=["b"])
    with pytest.raises(ConversationFileError, match=r":1: the columns are 'one', 'two'; call two of them context and"):
        list(ConversationReader(path))
    assert [each.turns for each in ConversationReader(path, columns="context=one,response=two")] == [("a", "b")]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(
        ConversationFileError, match=r":1: the Parquet file is damaged or cut off \(.*\); make or fetch"
    ):
        list(ConversationReader(path))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=re.escape(install_command("train"))):
        list(ConversationReader(path))

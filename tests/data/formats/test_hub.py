"""Data sets by address, tried on local folders that look like those of the Hub."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError, ConversationReader
from convmodel.data.formats.documents import DOCUMENTS
from convmodel.data.formats.hub import HUB, HubAddress, parse_address
from convmodel.errors import install_command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pytest.importorskip("datasets")
    import pyarrow
    import pyarrow.parquet

    messages = [{"role": "system", "content": "p"}, {"role": "user", "content": "a"}]
    table = pyarrow.table(
        {
            "dialog": [["Hello", "Hi"], ["alone"], ["a", "b", "c"]],
            "messages": [[*messages, {"role": "assistant", "content": "b"}]] * 3,
            "number": [1, 2, 3],
        }
    )
    (tmp_path / "data").mkdir()
    pyarrow.parquet.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet")
    rows = [{"dialog": ["c", "d"], "number": i} for i in range(3)]
    (tmp_path / "jsonl").mkdir()
    (tmp_path / "jsonl" / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_a_column_of_strings_is_streamed(folder: Path) -> None:
    reader = ConversationReader(f"hub://{folder}/data?column=dialog&split=train", on_error="skip")
    assert reader.format == "hub"
    for _ in range(2):  # as often as wanted
        assert list(reader) == [Conversation(["Hello", "Hi"]), Conversation(["a", "b", "c"])]
    assert reader.report.summary().startswith(f"hub://{folder}/data?column=dialog&split=train: Hub data set, 2 conv")
    assert "1 row skipped: first hub://" in reader.report.summary()


def test_a_column_of_messages_is_read_and_rows_are_told_by_number(folder: Path) -> None:
    assert list(ConversationReader(f"hub://{folder}/data?column=messages"))[2] == Conversation(["a", "b"], ["p"])
    with pytest.raises(ConversationFileError, match=r"column=dialog:row 2: there is only one turn; .*on_error='skip'"):
        list(ConversationReader(f"hub://{folder}/data?column=dialog"))
    with pytest.raises(ConversationFileError, match="row 1: the column holds the number 1; needed is a list"):
        list(ConversationReader(f"hub://{folder}/data?column=number"))


def test_another_split_of_json_lines_is_read(folder: Path) -> None:
    assert len(list(ConversationReader(f"hub://{folder}/jsonl?column=dialog&split=test"))) == 3
    with pytest.raises(ConversationFileError, match="check name, config, split, revision and the network"):
        list(ConversationReader(f"hub://{folder}/jsonl?column=dialog&split=nowhere"))


def test_a_column_that_is_missing_lists_those_there_are(folder: Path) -> None:
    for column, wanted in (("", "names no column"), ("?column=dialogue", "has no column 'dialogue'")):
        with pytest.raises(ConversationFileError, match=f"{wanted}; write column=... with one of dialog, messages, n"):
            list(ConversationReader(f"hub://{folder}/data{column}"))


def test_rows_that_end_too_early_are_never_skipped(folder: Path) -> None:
    (folder / "jsonl" / "test.jsonl").rename(folder / "jsonl" / "test-0.jsonl")
    (folder / "jsonl" / "test-1.jsonl").write_text('{"dialog": ["a", "b"]}\n{"dialog": [')
    with pytest.raises(ConversationFileError, match=r":row 4: .*; check the data set and the network"):
        list(ConversationReader(f"hub://{folder}/jsonl?column=dialog&split=test", on_error="skip"))


def test_an_address_is_taken_apart() -> None:
    assert parse_address("hub://org/name?column=dialog", HUB) == HubAddress("org/name", "dialog")
    assert parse_address("hub://org/name?split=test&config=en&revision=v1&column=a%20b", HUB) == HubAddress(
        "org/name", "a b", "test", "en", "v1"
    )


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        (
            "hub://org/name?colum=dialog",
            "unknown option 'colum'; allowed are column, split, config, revision",
        ),
        ("hub://?column=dialog", "the name is empty; write it like hub://org/name"),
        ("hub://org/name?column=", "column is empty; write it like hub://org/name"),
    ],
)
def test_an_address_that_cannot_be_read_is_told_at_once(address: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        ConversationReader(address)


def test_two_columns_are_a_context_and_its_response(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    rows = [{"question": "a", "answer": "b", "score": 1}, {"question": "c", "answer": None, "score": 2}]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    reader = ConversationReader(f"hub://{tmp_path}?column=question,answer", on_error="skip")
    assert list(reader) == [Conversation(["a", "b"])]
    named = ConversationReader(f"hub://{tmp_path}", columns="context=question,response=answer", on_error="skip")
    assert list(named) == [Conversation(["a", "b"])]
    assert "row 2: turn 2 is null" in named.report.problems[0]
    with pytest.raises(ValueError, match=r"names one utterance a row, which is read from files"):
        list(ConversationReader(f"hub://{tmp_path}", columns="id=question,text=answer"))
    with pytest.raises(ValueError, match="two columns have one name, 'a', 'A'"):
        parse_address("hub://x?column=b&meta=a,A", DOCUMENTS.hub)


def test_an_address_and_a_format_must_agree(tmp_path: Path) -> None:
    assert ConversationReader("hub://org/name?column=x", format="hub").format == "hub"
    with pytest.raises(ValueError, match="format='csv' does not go with a Hub address"):
        ConversationReader("hub://org/name?column=x", format="csv")
    with pytest.raises(ValueError, match="is not a Hub address; write hub://"):
        ConversationReader(tmp_path, format="hub")


def test_the_missing_library_is_told_with_the_cure(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=re.escape(install_command("train"))):
        list(ConversationReader("hub://org/name?column=dialog"))


def test_the_fingerprint_changes_when_the_data_set_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ConversationReader(f"hub://{folder}/jsonl?column=dialog&split=test")
    before = reader.fingerprint()
    assert reader.fingerprint() == before
    (folder / "jsonl" / "test.jsonl").write_text(json.dumps({"dialog": ["e", "f"]}))
    assert reader.fingerprint() != before

    class Hub:
        commit = "1"

        def dataset_info(self, path: str, revision: str | None) -> Any:
            assert (path, revision) == ("org/name", "main")
            return SimpleNamespace(sha=self.commit)

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    remote = ConversationReader("hub://org/name?column=dialog&revision=main")
    before = remote.fingerprint()
    monkeypatch.setattr(Hub, "commit", "2")
    assert remote.fingerprint() != before


def test_a_data_set_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network.\nmore")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", offline)
    with pytest.raises(ConversationFileError, match=r"hub://org/name\?column=d: no network; check name"):
        ConversationReader("hub://org/name?column=d").fingerprint()

"""Files at addresses, with the file system that fsspec keeps in memory."""

import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from convmodel.__main__ import main
from convmodel.data.conversation import ConversationReader, read_conversations
from convmodel.data.remote import is_remote, list_remote, open_binary

LINES = b'["Hello", "Hi"]\n["a", "b", "c"]\n'


@pytest.fixture
def store() -> Iterator[Any]:
    system = MemoryFileSystem()
    system.store.clear()
    system.pipe("/data/a.jsonl", LINES)
    system.pipe("/data/b.jsonl.gz", gzip.compress(b'["x", "y"]\n'))
    system.pipe("/data/notes.md", b"no conversations")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inner.jsonl", LINES)
    system.pipe("/more/c.zip", packed.getvalue())
    yield system
    system.store.clear()


def turns(source: str) -> list[tuple[str, ...]]:
    return [conversation.turns for conversation in read_conversations(source)]


@pytest.mark.parametrize(
    ("address", "count"),
    [
        ("memory://data/a.jsonl", 2),
        ("memory://data/*.jsonl*", 3),
        ("memory://data", 3),
        ("memory://more/c.zip", 2),
        ("memory://data/b.jsonl.gz", 1),
    ],
)
def test_a_file_a_glob_a_folder_and_an_archive_are_read(store: Any, address: str, count: int) -> None:
    assert len(turns(address)) == count


def test_addresses_are_told_from_paths_and_data_sets() -> None:
    assert is_remote("s3://bucket/x") and is_remote("memory://x")
    assert not any(map(is_remote, ("hub://org/name", "C:/data", "a/b.jsonl", "://x")))


def test_the_digest_changes_with_the_content(store: Any) -> None:
    address = "memory://data/a.jsonl"
    before = ConversationReader(address).fingerprint()
    assert ConversationReader(address).fingerprint() == before
    store.pipe("/data/a.jsonl", LINES + LINES)
    assert ConversationReader(address).fingerprint() != before


def test_a_local_file_and_its_address_have_the_same_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(LINES)
    with open_binary(str(file)) as local, open_binary(f"file://{file}") as remote:
        assert local.read() == remote.read() == LINES
    assert turns(f"file://{file}") == turns(str(file))


def test_what_cannot_be_read_is_an_error_with_the_address(store: Any) -> None:
    for address in ("memory://data/none.jsonl", "memory://data/*.csv", "memory://nothing"):
        with pytest.raises(FileNotFoundError, match="no file is there"):
            list_remote(address, lambda name: True, [])
    with pytest.raises(ValueError, match=r"nosuch://x: .*allowed are local paths, hub://"):
        turns("nosuch://x")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        open_binary("memory://data/none.jsonl")


def test_commands_read_addresses(store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.jsonl"
    assert main(["convert", "memory://data/*.jsonl*", str(output)]) == 0
    assert "memory://" in capsys.readouterr().out and len(output.read_text().splitlines()) == 3
    with pytest.raises(SystemExit):
        main(["convert", "memory://data/none.jsonl", str(output)])
    assert "memory://data/none.jsonl: no file is there" in capsys.readouterr().err

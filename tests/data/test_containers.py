"""Packed files: each container, files in archives, and damage of each."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from convmodel.data.containers import InputFile
from convmodel.data.conversation import ConversationFileError, ConversationReader

LINES = "".join(f'["question {number}", "answer {number * 7919 % 10_007}"]\n' for number in range(5_000)).encode()


def zip_of(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "zip": lambda content: zip_of({"inner.jsonl": content}),
}


@pytest.mark.parametrize("kind", PACKERS)
def test_a_container_is_known_by_its_first_bytes(reader: Any, kind: str) -> None:
    made = reader(PACKERS[kind](LINES), name="no-suffix")
    assert (made.format, len(list(made))) == ("jsonl", 5_000)


@pytest.mark.parametrize("kind", sorted(PACKERS.keys() - {"zip"}))
def test_a_container_that_is_cut_off_is_told_and_what_is_before_is_read(reader: Any, kind: str) -> None:
    cut = PACKERS[kind](LINES)[:-2000]
    with pytest.raises(
        ConversationFileError, match=rf":\d+: the {kind} file is damaged or cut off \(.*\); make or fetch"
    ):
        list(reader(cut))
    made = reader(cut + b"x", on_error="skip") if kind == "zstd" else reader(cut, on_error="skip")
    assert kind == "bzip2" or len(list(made)) > 1_000
    assert kind == "bzip2" or made.report.skipped == 1


@pytest.mark.parametrize("kind", PACKERS)
def test_several_parts_in_one_file_are_one_content(reader: Any, kind: str) -> None:
    pack = PACKERS[kind]
    if kind != "zip":
        assert len(list(reader(pack(LINES) + pack(LINES)))) == 10_000


def test_each_file_of_an_archive_is_named_and_packed_files_in_it_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "chats.zip"
    files = {"b.csv": b"context,response\nc,d\n,e\n", "a/a.jsonl.gz": gzip.compress(b'["a", "b"]\n')}
    path.write_bytes(zip_of({**files, "__MACOSX/x": b"junk", "a/.DS_Store": b"junk"}))
    made = ConversationReader(path, on_error="skip")
    assert [each.turns for each in made] == [("a", "b"), ("c", "d")]
    assert made.report.problems == [f"{path}/b.csv:3: turn 1 is empty; remove it or give it text"]


def test_a_damaged_archive_is_told(reader: Any) -> None:
    whole = zip_of({"inner.jsonl": LINES})
    with pytest.raises(ConversationFileError, match=r":1: the zip file is damaged or cut off \(no list"):
        list(reader(whole[:-100]))
    check_sum = whole.index(b"PK\x01\x02") + 16
    broken = whole[:check_sum] + b"\xff" * 4 + whole[check_sum + 4 :]
    with pytest.raises(
        ConversationFileError, match=r"inner.jsonl:\d+: the zip file is damaged or cut off \(Bad CRC-32"
    ):
        list(reader(broken))
    with pytest.raises(ConversationFileError, match=r"an archive in an archive"):
        list(reader(zip_of({"inner.zip": whole}), format="jsonl"))


def test_a_document_of_an_office_program_is_told(reader: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", "")
    with pytest.raises(ValueError, match="is a document of an office program, not text; save it as CSV"):
        ConversationReader(path)


def test_a_suffix_is_that_of_the_content() -> None:
    names = ("a.csv", "A.CSV.GZ", "b.zip", "a.tar.gz", "none", ".gz")
    assert [InputFile(name).suffix for name in names] == [".csv", ".csv", "", ".tar", "", ""]
    assert InputFile("c.zip", "d/e.json.xz").suffix == ".json"


def test_pictures_beside_a_chat_in_an_archive_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "chat.zip"
    chat = b"01/05/2024, 10:00 - Ida: Hi\n01/05/2024, 10:01 - Bo: Hello\n"
    path.write_bytes(zip_of({"_chat.txt": chat, "IMG-1.jpg": b"\xff\xd8", "a.opus": b"Ogg"}))
    assert [each.turns for each in ConversationReader(path, me="Bo")] == [("Hi", "Hello")]

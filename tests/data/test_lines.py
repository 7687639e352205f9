"""Lines of plain, gzipped and damaged files, in bounded memory; and files replaced whole or not at all."""

import gzip
import os
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import ConversationFileError, ConversationReader
from convmodel.data.lines import open_atomic, read_lines

CONTENTS = {
    "jsonl": '["a", "b"]\n',
    "parlai": "text:a\tlabels:b\tepisode_done:True\n",
    "fbdialog": "1 a\tb\n",
    "csv": "context,response\na,b\n",
    "tsv": "context\tresponse\na\tb\n",
}


@pytest.mark.parametrize("format", CONTENTS)
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_format_is_read_packed_or_not(reader: Any, format: str, bom: bytes, end: bytes, pack: Any) -> None:
    made = reader(pack(bom + CONTENTS[format].encode().replace(b"\n", end)), name="no-suffix")
    assert made.format == format
    assert [each.turns for each in made] == [("a", "b")]


@pytest.mark.parametrize("format", CONTENTS)
def test_a_truncated_gzip_file_is_told_or_counted(reader: Any, format: str) -> None:
    *header, row = CONTENTS[format].splitlines(keepends=True)
    noise = random.Random(5).randbytes(4000).hex()  # does not pack well: the cut falls into it
    whole = gzip.compress(("".join(header) + row * 5_000 + noise).encode())
    cut = whole[:-2000]
    with pytest.raises(ConversationFileError, match=r":\d+: the gzip file is damaged or cut off"):
        list(reader(cut))
    made = reader(cut, on_error="skip")
    assert len(list(made)) > 1000
    assert made.report.skipped == 1


def test_a_gzip_file_without_content_is_told(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=":1: the gzip file is damaged"):
        list(reader(b"\x1f\x8b"))


def test_garbage_after_gzip_is_told(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=":2: the gzip file is damaged"):
        list(reader(gzip.compress(b'["a", "b"]\n') + b"garbage"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_tells_the_encoding(reader: Any, encoding: str, end: str) -> None:
    mark = "" if encoding in ("utf-8-sig", "utf-16", "utf-32") else "\ufeff"
    text = f"{mark}context,response{end}Où ?,日本{end}😀,b{end}"
    assert [each.turns for each in reader(text.encode(encoding))] == [("Où ?", "日本"), ("😀", "b")]


def test_another_encoding_can_be_given_and_is_proposed(reader: Any) -> None:
    content = "context,response\nOù es-tu allé ?,À côté de la forêt.\n".encode("cp1252")
    with pytest.raises(ConversationFileError, match=r":2: not UTF-8: byte 0xf9 .*encoding='cp1252', because it looks"):
        list(reader(content))
    made = reader(content, encoding="cp1252")
    assert [each.turns for each in made] == [("Où es-tu allé ?", "À côté de la forêt.")]
    with pytest.raises(ConversationFileError, match=r":2: not cp1252: character 1 of the line cannot be dec"):
        list(reader(b"context,response\n\x81,b\n", encoding="cp1252"))
    with pytest.raises(ValueError, match="encoding='klingon': there is no such encoding"):
        reader(content, encoding="klingon")


def test_an_encoding_with_half_a_character_at_the_end_is_told(reader: Any) -> None:
    made = reader('["a", "b"]\n["c", "d"]'.encode("utf-16")[:-1], on_error="skip")
    assert [each.turns for each in made] == [("a", "b")]
    assert ":2: not utf-16-le: character 10" in made.report.problems[0]


def test_line_ends_may_be_mixed_and_fall_between_two_blocks(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for shift in range(4):
        path.write_bytes(b"x" * (2**16 - shift) + b"\r\na\rb\n\r\nc\r")
        lines = list(read_lines(str(path)))
        assert [line.text for line in lines[1:]] == ["a", "b", "", "c"]
        assert [line.number for line in lines] == [1, 2, 3, 4, 5]


def test_a_line_of_exactly_the_limit_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"1234\n12345\n123456\n12345")
    lines = list(read_lines(str(path), max_line_bytes=5))
    assert [line.number for line in lines] == [1, 2, 3, 4]
    assert [line.problem is None for line in lines] == [True, False, False, True]
    assert [lines[0].text, lines[3].text] == ["1234", "12345"]


def test_offsets_count_lines_that_were_too_long(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"x" * 300_000 + b"\n" + b"ab\xff\n")
    problem = list(read_lines(str(path), max_line_bytes=1000))[1].problem
    assert problem and "offset 300003 (byte 3 of the line)" in problem


def test_a_line_of_100_megabytes_is_never_held(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with open(path, "wb") as file:
        file.write(b'["a", "b"]\n["')
        file.seek(100 * 2**20, os.SEEK_CUR)  # a hole of NUL bytes
        file.write(b'"]\n["c", "d"]\n')
    reader = ConversationReader(path, on_error="skip", max_line_bytes=2**20)
    tracemalloc.start()
    try:
        turns = [each.turns for each in reader]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert turns == [("a", "b"), ("c", "d")]
    assert ":2: the line is longer than max_line_bytes=1,048,576" in reader.report.problems[0]
    assert peak < 4 * 2**20
    with pytest.raises(ConversationFileError, match=":2: the line is longer than max_line_bytes=16,777,216"):
        list(ConversationReader(path))


@pytest.mark.parametrize("format", CONTENTS)
def test_memory_does_not_grow_with_the_file(tmp_path: Path, format: str) -> None:
    *header, row = CONTENTS[format].replace("a", "a" * 1000, 1).splitlines(keepends=True)
    path = tmp_path / "big"
    path.write_text("".join(header) + row * 4000)
    reader = ConversationReader(path)
    tracemalloc.start()
    try:
        count = sum(1 for _ in reader)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 4000  # of a kilobyte each
    assert peak < 500_000


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), open_atomic(str(path)) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_stays_a_link_when_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with open_atomic(str(tmp_path / "link")) as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == b"new"


def test_the_same_content_makes_the_same_gzip_file(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        with open_atomic(str(tmp_path / name)) as file:
            file.write(b"content")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"content"


def test_a_missing_folder_and_a_folder_in_place_of_the_file_are_told(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"there is no folder .*; make it first"),
        open_atomic(str(tmp_path / "no" / "file")),
    ):
        pass
    with pytest.raises(IsADirectoryError, match="is a folder"), open_atomic(str(tmp_path)):
        pass

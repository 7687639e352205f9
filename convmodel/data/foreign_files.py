"""Recognition of files that are not text, and of UTF-16 and UTF-32 without a byte order mark, by their first bytes."""

import codecs

MARKED_BYTES = 512
"""The number of bytes at the start of a file that are needed to recognise its type."""

_EXPORT = "export the conversations as text or JSON"
_PICKLE = f"a pickle, which is never opened; {_EXPORT}"
_UNPACK = "unpack it, and give the folder"

_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (257, b"ustar", f"a tar archive; {_UNPACK}"),
    (0, b"7z\xbc\xaf\x27\x1c", f"a 7z archive; {_UNPACK}"),
    (0, b"Rar!\x1a\x07", f"a RAR archive; {_UNPACK}"),
    *((0, mark, "packed twice; unpack it once") for mark in (b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")),
    (0, b"SQLite format 3\0", f"a SQLite database; {_EXPORT}"),
    *(
        (0, mark, f"a pickle, which is never opened; {_EXPORT}")
        for mark in (b"\x80\x02", b"\x80\x04\x95", b"\x80\x05\x95")
    ),
    *((0, mark, "an Arrow file; save it as Parquet") for mark in (b"ARROW1", b"\xff\xff\xff\xff")),
    (0, b"%PDF-", f"a PDF; {_EXPORT}"),
    (0, rb"{\rtf", "rich text; save it as plain text"),
    *((0, mark, "a picture; leave it out") for mark in (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")),
    (8, b"WEBP", "a picture; leave it out"),
    *((0, mark, "a recording; leave it out") for mark in (b"OggS", b"ID3", b"fLaC")),
    *((offset, mark, "a recording; leave it out") for offset, mark in ((4, b"ftyp"), (8, b"WAVE"))),
)
"""The offset and the bytes of a mark (magic number), and a description of the file type with a remedy."""

_WIDE_SHARE = 0.2
"""Minimum share of zero bytes at which bytes are taken for UTF-16 although they are also valid UTF-8.

ASCII text in UTF-16 is such a case: half of its bytes are zero.
"""


def find_foreign_kind(start: bytes) -> str | None:
    """Return a description of a file that is not text, with a remedy: "a PDF; ...". Return None for any other file.

    Args:
        start: the first `MARKED_BYTES` bytes of the file, decompressed.
    """
    return next((kind for offset, mark, kind in _KINDS if start.startswith(mark, offset)), None)


def find_wide_encoding(start: bytes) -> str | None:
    """Return the encoding of text in UTF-16 or UTF-32 without a byte order mark; None for any other text.

    Args:
        start: the first bytes of the text.
    """
    if start.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        return None
    columns = [start[column:32:4] for column in range(4)]
    if len(start) >= 8 and any(start[:4]):
        for name, empty in (("utf-32-le", columns[2:]), ("utf-32-be", columns[:2])):
            if not any(map(any, empty)):
                return name
    low = start[1::2].count(0)
    high = start[0::2].count(0)
    if bool(low) == bool(high):
        return None
    is_wide = low + high >= _WIDE_SHARE * len(start) or not _is_utf8(start)
    return ("utf-16-le" if low else "utf-16-be") if is_wide else None


def _is_utf8(start: bytes) -> bool:
    """Return whether bytes are valid UTF-8; the last character may be incomplete."""
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return error.end == len(start) and error.reason == "unexpected end of data"
    return True

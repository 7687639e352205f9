"""Decoding of files: byte order marks, encodings other than UTF-8, and guesses for bytes that are not UTF-8."""

import codecs
from collections.abc import Iterator

from convmodel.data.containers import ByteStream
from convmodel.data.options import name_option

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
MARK = "\ufeff"
"""The character of a byte order mark."""

_WITHOUT_BOM = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}
"""For encodings that expect a byte order mark, the encoding in which files without the mark are read."""

_BLOCK = 2**16
_SAMPLE = 2**14  # bytes from which an encoding is guessed
_UTF_8 = codecs.lookup("utf-8").name
_UNDECODABLE = "convmodel.undecodable"


def _mark_undecodable(error: UnicodeError) -> tuple[str, int]:
    """Replace undecodable bytes with a surrogate that is later encoded as the byte 0xFF; see `codecs.register_error`.

    UTF-8 never contains this byte, so it marks the fault.
    """
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(_UNDECODABLE, _mark_undecodable)


class Utf8Stream:
    """The content of a file, converted to UTF-8 and without its byte order mark.

    Args:
        stream: the bytes of the file.
        encoding: the encoding of a file without a byte order mark; UTF-8 if None.
    """

    def __init__(self, stream: ByteStream, encoding: str | None = None) -> None:
        self._stream = stream
        self._proposal: str | None = None
        head = b""
        while len(head) < 4 and (more := stream.read(_BLOCK)):
            head += more
        bom, by_bom = next(((bom, name) for bom, name in _BOMS if head.startswith(bom)), (b"", None))
        self.encoding = by_bom or _WITHOUT_BOM.get(encoding or "", encoding) or _UTF_8
        """The name of the encoding."""
        self.start = len(bom)
        """The number of bytes of the byte order mark, 0 without one."""
        self.has_marks_inside = False
        """Whether byte order marks after the beginning were skipped; set by the function that reads the stream."""
        self._head = head[len(bom) :]

    @property
    def is_utf8(self) -> bool:
        """Whether the file is in UTF-8, so that its bytes are yielded unchanged."""
        return self.encoding == _UTF_8

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content in blocks. In other encodings an undecodable sequence becomes the byte 0xFF."""
        if self.is_utf8:
            yield from self._blocks()
            return
        decoder = codecs.getincrementaldecoder(self.encoding)(_UNDECODABLE)
        try:
            for block in self._blocks():
                yield decoder.decode(block).encode("utf-8", "surrogateescape")
            yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")
        except UnicodeError:  # of encodings that ignore the error handler, or that decode to surrogates
            yield b"\xff"

    def describe_undecodable(self, raw: bytes, error: UnicodeDecodeError, offset: int, *, is_line: bool = True) -> str:
        """Return an error message, "the fault; the remedy", for bytes that cannot be decoded.

        Args:
            raw: bytes of this stream that are not valid UTF-8.
            error: the error that decoding them raised.
            offset: the position of `raw` in the content, in bytes.
            is_line: whether `raw` is a line. If so, the message also gives the position within the line.
        """
        at = error.start
        if not self.is_utf8:
            remedy = f"check {name_option('encoding')}, or repair the file"
            where = f"character {len(raw[:at].decode()) + 1} of the line" if is_line else "a character"
            return f"not {self.encoding}: {where} cannot be decoded; {remedy}"
        where = f"byte 0x{raw[at]:02x} at offset {self.start + offset + at}"
        where += f" (byte {at + 1} of the line)" if is_line else ""
        message = f"not UTF-8: {where}; save the file as UTF-8"
        if self._proposal is None:  # guessed once: it takes milliseconds, and all lines may be like this one
            self._proposal = propose_encoding(raw, at)
        return message + self._proposal

    def _blocks(self) -> Iterator[bytes]:
        if self._head:
            yield self._head
        while block := self._stream.read(_BLOCK):
            yield block


def propose_encoding(raw: bytes, at: int) -> str:
    """Return the end of an error message, which proposes an encoding; "" if no encoding fits.

    Args:
        raw: bytes that are not valid UTF-8.
        at: the position of the first invalid byte.
    """
    likely = guess_encoding(raw[max(0, at - _SAMPLE // 2) :][:_SAMPLE])
    option = name_option("encoding", likely)
    return f", or read it with {option}, because it looks like {likely}" if likely else ""


def guess_encoding(sample: bytes) -> str | None:
    """Return the likely encoding of bytes that are not UTF-8; None if none fits, or `charset_normalizer` is missing."""
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return None
    matches = from_bytes(sample, cp_exclusion=["utf_8", "utf_16", "utf_32", "utf_7"], enable_fallback=False)
    names = [name for match in matches for name in match.could_be_from_charset]
    if not names:
        return None
    # Short texts fit many encodings, which the library orders by name; cp1252 is by far the most frequent in practice.
    return "cp1252" if "cp1252" in names else names[0].replace("_", "-")

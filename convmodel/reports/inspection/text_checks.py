"""Checks for broken and suspicious texts, such as mojibake, markup or telephone numbers."""

import re
import unicodedata
from collections.abc import Callable, Iterable

import ftfy
import numpy as np

from convmodel.reports.inspection import scripts
from convmodel.reports.inspection.chunks import Chunk
from convmodel.reports.inspection.findings import Tally

Find = Callable[[str], int | None]
"""Function that returns the position of the first occurrence in a text, or None."""

REPEATED = 10
"""Minimum number of equal characters in a row that is reported."""

CONTROL_TOKENS = ("<sep>", "<s>", "</s>", "<pad>", "<unk>", "<mask>", "[SEP]", "[CLS]", "[PAD]", "[INST]", "[/INST]")
"""Control tokens that are reported in addition to those of the tokenizer and all of the form `<|endoftext|>`."""

_MARKUP = re.compile(
    r"[<&](?:(?<=&)(?:[a-zA-Z]{2,8}|#\d{2,6}|#[xX][0-9a-fA-F]{2,5});"
    r"|(?<=<)/?(?:a|b|i|u|p|br|hr|li|ul|ol|td|tr|em|div|img|pre|span|code|font|strong|table|h[1-6]|blockquote)"
    r"(?:\s+[a-zA-Z-]+\s*=[^<>\n]*)?\s*/?>)",
    re.IGNORECASE,
)
_URL = re.compile(r"[hHwW](?:ttps?://|ww\.)[^\s/]{3}")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-zA-Z]{2,}")
_DIGITS = re.compile(r"[0-9][0-9 ().-]{6,}[0-9]")
_PHONE = re.compile(
    r"(?<![\w.:/=,-])(?:[+(]?[0-9]{1,4}\)?[ .-]?)?(?:\(?[0-9]{2,4}\)?[ .-]){1,3}[0-9]{3,8}(?![\w:/,+-]|\.[0-9])"
)
_DATE = re.compile(r"[0-9]{4}[.-][0-9]{1,2}[.-][0-9]{1,2}|[0-9]{1,2}[.-][0-9]{1,2}[.-][0-9]{4}")
# The first two bytes of a UTF-8 sequence, decoded as Latin-1 or Windows-1252.
_MOJIBAKE = re.compile(r"[\u00c2-\u00f4][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]")
_REPEATED = re.compile(rf"(\S)\1{{{REPEATED - 1}}}")
_RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff]")
# A zero-width space separates words in scripts without spaces: Thai, Lao, Tibetan, Burmese, Khmer.
_ZERO_WIDTH = r"\u00ad\u2060-\u2064\ufeff]|(?<![\u0e00-\u109f\u1780-\u17ff])\u200b"
_HIDDEN = re.compile(rf"[\u202a-\u202e\u2066-\u2069{_ZERO_WIDTH}")
_HIDDEN_RIGHT_TO_LEFT = re.compile(rf"[{_ZERO_WIDTH}")


def hidden_characters(text: str) -> re.Pattern[str]:
    """Return a pattern of invisible characters that the text does not need.

    Joiners (U+200C, U+200D) and marks (U+200E, U+200F) never match, because emoji and right-to-left scripts need them.
    Direction controls match only if the text has no right-to-left letters.
    """
    return _HIDDEN_RIGHT_TO_LEFT if _RIGHT_TO_LEFT.search(text) else _HIDDEN


def find_mojibake(text: str) -> int | None:
    """Return the position of UTF-8 that was decoded with another encoding, if `ftfy` can correct it; else None."""
    match = _MOJIBAKE.search(text)
    return match.start() if match and ftfy.fix_encoding(text) != text else None


def fix_mojibake(text: str) -> str:
    """Return the text with mojibake corrected; the same text if `find_mojibake` finds none."""
    return ftfy.fix_encoding(text) if _MOJIBAKE.search(text) else text


def is_blank(text: str) -> bool:
    """Return whether a text has no visible character."""
    return all(unicodedata.category(c) in ("Cc", "Cf", "Zs", "Zl", "Zp") or c == "\ufe0f" for c in text)


def find_phone(text: str) -> int | None:
    """Return the position of a likely telephone number, 9 to 15 digits in groups, or None.

    Groups separated by spaces must begin with `+`, `(` or `0`, because other numbers in a row are rarely a telephone
    number.
    """
    for match in _PHONE.finditer(text):
        digits = sum(map(str.isdigit, match[0]))
        has_prefix = match[0][0] in "+(0" or " " not in match[0]
        if has_prefix and 9 <= digits <= 15 and match[0].count(".") < 3 and not _DATE.search(match[0]):
            return match.start()
    return None


def is_control(character: str) -> bool:
    """Return whether a character is a control character other than a line end or a tab."""
    return unicodedata.category(character) == "Cc" and character not in "\n\t\r"


def _search_for(pattern: re.Pattern[str]) -> Find:
    def find(text: str) -> int | None:
        match = pattern.search(text)
        return match.start() if match else None

    return find


class TextChecks:
    """Checks texts for broken and suspicious content.

    A fast search over a whole chunk finds suspicious texts, which are then tested exactly.
    """

    def __init__(self, tally: Tally, *, control_tokens: Iterable[str]) -> None:
        self._tally = tally
        tokens = sorted({*CONTROL_TOKENS, *control_tokens}, key=len, reverse=True)
        first = "".join(sorted({re.escape(token[0]) for token in tokens}))
        rest = "|".join(rf"(?<={re.escape(token[0])}){re.escape(token[1:])}" for token in tokens)
        token = re.compile(rf"[{first}](?:(?<=<)\|[^\s|<>]{{1,30}}\|>|{rest})")
        # By kind: a pattern that is searched in all texts at once, and the exact test of the texts that match. For
        # speed, few characters can begin a match. A match must not contain a line end.
        self._checks: dict[str, tuple[re.Pattern[str], Find]] = {
            "mojibake": (_MOJIBAKE, find_mojibake),
            "html": (_MARKUP, _search_for(_MARKUP)),
            "url": (re.compile(r":(?=//)|[wW](?=[wW]{2}\.)"), _search_for(_URL)),
            "email": (re.compile("@"), _search_for(_EMAIL)),
            "phone": (_DIGITS, find_phone),
            "control_token": (token, _search_for(token)),
        }

    def add(self, chunk: Chunk, classes: np.ndarray) -> None:
        """Check a chunk. `classes` are the classes of the characters of `chunk.joined`; see `CharacterClasses`."""
        for kind, (quick, find) in self._checks.items():
            suspects = [match.start() for match in quick.finditer(chunk.joined)]
            self._confirm(kind, chunk, chunk.segments_at(suspects), find)
        for kind, character_class, find in (
            ("replacement", scripts.REPLACEMENT, lambda text: text.index("\ufffd")),
            ("control", scripts.CONTROL, lambda text: next(i for i, c in enumerate(text) if is_control(c))),
            ("hidden", scripts.HIDDEN, lambda text: _search_for(hidden_characters(text))(text)),
        ):
            self._confirm(kind, chunk, chunk.segments_at(np.flatnonzero(classes == character_class)), find)
        runs = chunk.segments_at(_runs(chunk.code_points, REPEATED))
        self._confirm("repeated", chunk, runs, _search_for(_REPEATED))
        letters = np.add.reduceat(classes >= scripts.FIRST_SCRIPT, chunk.text_starts[:-1], dtype=np.int64)
        letterless = np.flatnonzero(letters == 0)
        self._confirm("blank", chunk, letterless, lambda text: 0 if is_blank(text) else None)
        turns = letterless[chunk.turn_indices[letterless] >= 0]
        self._confirm(
            "wordless", chunk, turns, lambda text: None if any(map(str.isalnum, text)) or is_blank(text) else 0
        )

    def _confirm(self, kind: str, chunk: Chunk, segments: np.ndarray, find: Find) -> None:
        for segment in segments.tolist():
            position = find(chunk.texts[segment])
            if position is not None:
                self._tally.add_text(kind, chunk, segment, at=position)


def _runs(points: np.ndarray, length: int) -> np.ndarray:
    """Return the starts of runs of at least `length` equal values."""
    ends = np.flatnonzero(np.diff(points)) + 1
    starts = np.append(0, ends)
    return starts[np.diff(np.append(starts, len(points))) >= length]

"""A chunk in, its broken and suspicious texts out; one check for each kind."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import ftfy
import numpy as np

from convmodel.reports.inspection import scripts as characters
from convmodel.reports.inspection.chunks import Chunk
from convmodel.reports.inspection.findings import Tally

Find = Callable[[str], int | None]
"""A text in, where in it something stands out; None when nothing does."""

REPEATED = 10
"""So many equal characters in a row are told."""

CONTROL_TOKENS = ("<sep>", "<s>", "</s>", "<pad>", "<unk>", "<mask>", "[SEP]", "[CLS]", "[PAD]", "[INST]", "[/INST]")
"""Strings of control tokens, besides those of the tokenizer and everything like `<|endoftext|>`."""

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
# A character that begins a UTF-8 sequence when both are read as Latin-1 or Windows-1252, and one that goes on with it.
_MOJIBAKE = re.compile(r"[\u00c2-\u00f4][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]")
_RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff]")
# A zero-width space divides words where no other space does: Thai, Lao, Tibetan, Burmese, Khmer.
_ZERO_WIDTH = r"\u00ad\u2060-\u2064\ufeff]|(?<![\u0e00-\u109f\u1780-\u17ff])\u200b"
_HIDDEN = re.compile(rf"[\u202a-\u202e\u2066-\u2069{_ZERO_WIDTH}")
_HIDDEN_RIGHT_TO_LEFT = re.compile(rf"[{_ZERO_WIDTH}")


def hidden_characters(text: str) -> re.Pattern[str]:
    """What matches characters that a reader does not see and the text does not need.

    Joiners (U+200C, U+200D) and marks (U+200E, U+200F) never match: emoji and right-to-left scripts need them.
    Direction controls do only where no letter is written from right to left.
    """
    return _HIDDEN_RIGHT_TO_LEFT if _RIGHT_TO_LEFT.search(text) else _HIDDEN


def find_mojibake(text: str) -> int | None:
    """Where a text holds UTF-8 that was read as another encoding: where ftfy would mend it."""
    found = _MOJIBAKE.search(text)
    return found.start() if found and fix_mojibake(text) != text else None


def fix_mojibake(text: str) -> str:
    """The text as it was before it was read in the wrong encoding; the text itself where nothing is wrong."""
    return ftfy.fix_encoding(text)


def is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen."""
    return all(unicodedata.category(c) in ("Cc", "Cf", "Zs", "Zl", "Zp") or c == "\ufe0f" for c in text)


def find_phone(text: str) -> int | None:
    """Where something stands that looks like a telephone number: 9 to 15 digits, in groups.

    Groups between spaces count only after `+`, `(` or `0`: three numbers in a row are mostly just that.
    """
    for found in _PHONE.finditer(text):
        digits = sum(map(str.isdigit, found[0]))
        begins = found[0][0] in "+(0" or " " not in found[0]
        if begins and 9 <= digits <= 15 and found[0].count(".") < 3 and not _DATE.search(found[0]):
            return found.start()
    return None


def _find_repeated(text: str) -> int | None:
    found = re.search(rf"(\S)\1{{{REPEATED - 1}}}", text)
    return found.start() if found else None


def _searching(pattern: re.Pattern[str]) -> Find:
    def find(text: str) -> int | None:
        found = pattern.search(text)
        return found.start() if found else None

    return find


@dataclass(frozen=True)
class Check:
    """How texts of a kind are found: quickly where they may be, then surely whether they are.

    Args:
        kind: a name in KINDS.
        quick: a pattern that is searched in all texts at once; it begins with few characters, and crosses no line end.
        find: what is found in a text where `quick` matches.
    """

    kind: str
    quick: re.Pattern[str]
    find: Find


class TextChecks:
    """Looks for broken and suspicious texts.

    Args:
        tally: where they are counted.
        control_tokens: strings of the tokenizer's control tokens.
    """

    def __init__(self, tally: Tally, *, control_tokens: Iterable[str]) -> None:
        self._tally = tally
        tokens = sorted({*CONTROL_TOKENS, *control_tokens}, key=len, reverse=True)
        begins = "".join(sorted({re.escape(token[0]) for token in tokens}))
        token = re.compile(rf"[{begins}](?:(?<=<)\|[^\s|<>]{{1,30}}\|>|{'|'.join(map(_after_first, tokens))})")
        self._checks = [
            Check("mojibake", _MOJIBAKE, find_mojibake),
            Check("html", _MARKUP, _searching(_MARKUP)),
            Check("url", re.compile(r":(?=//)|[wW](?=[wW]{2}\.)"), _searching(_URL)),
            Check("email", re.compile("@"), _searching(_EMAIL)),
            Check("phone", _DIGITS, find_phone),
            Check("control_token", token, _searching(token)),
        ]

    def add(self, chunk: Chunk, classes: np.ndarray) -> None:
        """Looks at a chunk, whose characters have these classes."""
        for check in self._checks:
            found = [match.start() for match in check.quick.finditer(chunk.joined)]
            self._confirm(check.kind, chunk, chunk.segments_at(found), check.find)
        for kind, number, find in (
            ("replacement", characters.REPLACEMENT, lambda text: text.index("\ufffd")),
            ("control", characters.CONTROL, lambda text: next(i for i, c in enumerate(text) if is_control(c))),
            ("hidden", characters.HIDDEN, lambda text: _searching(hidden_characters(text))(text)),
        ):
            self._confirm(kind, chunk, chunk.segments_at(np.flatnonzero(classes == number)), find)
        self._confirm("repeated", chunk, chunk.segments_at(_runs(chunk.code_points, REPEATED)), _find_repeated)
        letters = np.add.reduceat(classes >= characters.FIRST_SCRIPT, chunk.text_starts[:-1], dtype=np.int64)
        without = np.flatnonzero(letters == 0)
        self._confirm("blank", chunk, without, lambda text: 0 if is_blank(text) else None)
        turns = without[chunk.turn_numbers[without] >= 0]
        self._confirm(
            "wordless", chunk, turns, lambda text: None if any(map(str.isalnum, text)) or is_blank(text) else 0
        )

    def _confirm(self, kind: str, chunk: Chunk, segments: np.ndarray, find: Find) -> None:
        for segment in segments.tolist():
            at = find(chunk.texts[segment])
            if at is not None:
                self._tally.add_text(kind, chunk, segment, at=at)


def is_control(character: str) -> bool:
    """Whether it is a control character; line ends and tabs are none."""
    return unicodedata.category(character) == "Cc" and character not in "\n\t\r"


def _after_first(token: str) -> str:
    """Matches what follows a token's first character where that stands."""
    return rf"(?<={re.escape(token[0])}){re.escape(token[1:])}"


def _runs(points: np.ndarray, length: int) -> np.ndarray:
    """Where so many equal values begin."""
    ends = np.flatnonzero(np.diff(points)) + 1
    starts = np.append(0, ends)
    return starts[np.diff(np.append(starts, len(points))) >= length]

"""A file of words and phrases in, whether a text says one of them out, however it is written."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from convmodel.data.lines import check_is_file, read_lines

UNSPACED = (
    *((0x0E00, 0x0FFF), (0x1000, 0x109F)),  # Thai, Lao, Tibetan; Myanmar
    *((0x1780, 0x17FF), (0x1950, 0x19FF), (0x1A20, 0x1AAF)),  # Khmer; Tai Le, New Tai Lue; Tai Tham
    *((0x1B00, 0x1B7F), (0xA980, 0xA9FF), (0xAA60, 0xAADF)),  # Balinese; Javanese; Tai Viet
    *((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF)),  # Hangul: endings join its words
    *((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x30FF), (0x3100, 0x312F), (0x31A0, 0x31FF)),  # kana, Bopomofo
    *((0x3400, 0x4DBF), (0x4E00, 0xA4CF), (0xF900, 0xFAFF), (0x1AFF0, 0x1B16F), (0x20000, 0x3FFFF)),  # Han, Yi
)
"""Code points of scripts whose words are not told by white space: first and last."""

ANYWHERE = ((0x0300, 0x036F), (0x0483, 0x0489), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
"""Marks that can be put on any letter, and make no other letter of it where nothing composes them."""

POINTS = (
    *((0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2), (0x05C4, 0x05C5), (0x05C7, 0x05C7)),  # Hebrew
    *((0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670), (0x06D6, 0x06DC), (0x06DF, 0x06E8), (0x06EA, 0x06ED)),
)
"""Vowels of Hebrew and Arabic, which are mostly left out."""

UNSEEN = (
    *(
        (0x034F, 0x034F),
        (0x0640, 0x0640),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x3164, 0x3164),
        (0xFFA0, 0xFFA0),
    ),
    *((0xFE00, 0xFE0F), (0xE0000, 0xE0FFF)),
)
"""Code points that say nothing, beside those of the categories Cf and Cc: fillers, tatweel, selectors of variants."""

LAST = 0x1FFFF
"""Of the code points among which marks and dashes are looked for: behind it are Han and `UNSEEN`."""


class WordList:
    """Words and phrases that a text is looked through for.

    A text and the entries are compared after `fold`: case, width, styled letters and what nobody sees make no
    difference. An entry is found where it stands as words of its own, a phrase over white space of any kind. Where a
    script does not tell words by white space (`UNSPACED`), it is found anywhere.

    Looking takes a time in proportion to the text, however many entries there are.

    Args:
        entries: words and phrases.

    Raises:
        ValueError: when there are none, or one of them says nothing.

    Example:
        >>> "It was a  ＢＡＤ\\nday." in WordList(["bad day"])
        True
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._next: dict[str, Any] = {}
        self._count = 0
        for entry in entries:
            self._add(entry)
        if not self._count:
            raise ValueError("there are no words in the list; give some, or no list")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "WordList":
        """Reads a file, plain or gzipped, UTF-8: an entry a line; blank lines and those that begin with # are none.

        Raises:
            FileNotFoundError, IsADirectoryError: when there is no file.
            ValueError: for a line that cannot be used, with file and line, and for a file without entries.
        """
        path = os.fspath(path)
        check_is_file(path, noun="word")
        found = cls.__new__(cls)
        found._next, found._count = {}, 0
        for number, text, problem in read_lines(path):
            if problem is None and (not text.strip() or text.lstrip().startswith("#")):
                continue
            try:
                if problem is not None:
                    raise ValueError(problem)
                found._add(text)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
        if not found._count:
            raise ValueError(f"{path}: there are no words in it; write one word or phrase a line")
        return found

    def __len__(self) -> int:
        """How many entries differ."""
        return self._count

    def __contains__(self, text: str) -> bool:
        return self.find(text) is not None

    def find(self, text: str) -> str | None:
        """The first entry that stands in a text, as it was given; of those that begin at one place the shortest."""
        pieces = list(_pieces(fold(text)))
        for start in range(len(pieces)):
            node, place = self._next, start
            while place < len(pieces) and (node := node.get(pieces[place], {})):
                if "" in node:
                    return str(node[""])
                place += 1
        return None

    def _add(self, entry: str) -> None:
        pieces = list(_pieces(fold(entry)))
        if not pieces:
            raise ValueError(
                f"nothing is left of {entry!r} to look for; write a word or a phrase, or take the line out"
            )
        node = self._next
        for piece in pieces:
            node = node.setdefault(piece, {})
        self._count += "" not in node
        node.setdefault("", entry.strip())


def fold(text: str) -> str:
    """What all ways to write a text have in common.

    Case and compatibility forms (NFKC: full width, styled and circled letters, ligatures) are taken away, and so are
    characters that nobody sees, marks that make no letter of their own with what they stand on, and all marks of a
    letter that has several such marks piled on it. White space is one space each, dashes and apostrophes are one kind.
    Letters with an accent stay what they are: an accent often makes another word.
    """
    seen = unicodedata.normalize("NFKC", text.translate(_alike()))
    folded = unicodedata.normalize("NFKC", seen.casefold()).translate(_alike())
    return " ".join(unicodedata.normalize("NFKC", _loose().sub(_without_marks, folded)).split())


def _without_marks(found: "re.Match[str]") -> str:
    """A character and the marks on it that nothing composed: none is left, and of a pile not even what it composed."""
    base, marks = found.groups()
    if len(re.findall(f"[{_ranges(ANYWHERE)}]", marks)) < 2:
        return str(base)
    return re.sub(f"[{_ranges(ANYWHERE)}]", "", unicodedata.normalize("NFD", base))


def _pieces(folded: str) -> Iterator[str]:
    """What entries are compared by: whole words, and each other character by itself, with its marks."""
    return (found[0] for found in _piece().finditer(folded))


# Tables, made when they are first used


def _ranges(codes: Iterable[tuple[int, int]]) -> str:
    """Pairs of a first and a last code point, as they stand in a class of a pattern."""
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in codes)


def _marks(code: int) -> bool:
    return unicodedata.category(chr(code)).startswith("M")


@cache
def _piece() -> "re.Pattern[str]":
    """A word of a script with spaces, or any one character, with the marks on it."""
    unspaced = _ranges(UNSPACED)
    marks = "".join(re.escape(chr(code)) for code in range(LAST + 1) if _marks(code))
    return re.compile(f"(?:(?![{unspaced}_])[\\w{marks}])+|.[{marks}]*", re.DOTALL)


@cache
def _loose() -> "re.Pattern[str]":
    loose = _ranges(ANYWHERE + POINTS)
    return re.compile(f"([^{loose}]?)([{loose}]+)")


@cache
def _alike() -> dict[int, str | None]:
    """What code points are taken for, where it is something else."""
    found: dict[int, str | None] = {code: None for first, last in UNSEEN for code in range(first, last + 1)}
    for code in range(LAST + 1):
        category = unicodedata.category(chr(code))
        if category in ("Cf", "Cc") and not chr(code).isspace():
            found[code] = None
        elif category == "Pd":
            found[code] = "-"
    return found | dict.fromkeys(map(ord, "‘’ʼʻ`´"), "'") | {0x2212: "-", 0x2800: " "}

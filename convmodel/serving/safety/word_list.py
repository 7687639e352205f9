"""Search for blocked words and phrases in texts, robust to Unicode spelling variants."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from convmodel.data.lines import check_file, read_lines

UNSPACED = (
    *((0x0E00, 0x0FFF), (0x1000, 0x109F)),  # Thai, Lao, Tibetan; Myanmar
    *((0x1780, 0x17FF), (0x1950, 0x19FF), (0x1A20, 0x1AAF)),  # Khmer; Tai Le, New Tai Lue; Tai Tham
    *((0x1B00, 0x1B7F), (0xA980, 0xA9FF), (0xAA60, 0xAADF)),  # Balinese; Javanese; Tai Viet
    *((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF)),  # Hangul: endings are part of words
    *((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x30FF), (0x3100, 0x312F), (0x31A0, 0x31FF)),  # kana, Bopomofo
    *((0x3400, 0x4DBF), (0x4E00, 0xA4CF), (0xF900, 0xFAFF), (0x1AFF0, 0x1B16F), (0x20000, 0x3FFFF)),  # Han, Yi
)
"""First and last code points of scripts in which words are not separated by spaces."""

ANYWHERE = ((0x0300, 0x036F), (0x0483, 0x0489), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
"""Combining marks that can be added to any letter. They form a distinct letter only if NFC composes the pair."""

POINTS = (
    *((0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2), (0x05C4, 0x05C5), (0x05C7, 0x05C7)),  # Hebrew
    *((0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670), (0x06D6, 0x06DC), (0x06DF, 0x06E8), (0x06EA, 0x06ED)),
)
"""Hebrew and Arabic vowel points, which are usually omitted in writing."""

UNSEEN = (
    *((0x034F, 0x034F), (0x0640, 0x0640), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x3164, 0x3164)),
    *((0xFFA0, 0xFFA0), (0xFE00, 0xFE0F), (0xE0000, 0xE0FFF)),
)
"""Invisible code points outside the Unicode categories Cf and Cc: fillers, tatweel, variation selectors."""

LAST = 0x1FFFF
"""Highest code point that the tables of marks and dashes cover; higher ones are Han characters or `UNSEEN`."""


class WordList:
    """A set of words and phrases to search for in texts.

    The texts and the entries are normalized by `fold`, which ignores case, width, styled letters and invisible
    characters. An entry matches only complete words, and a phrase matches across any white space. In scripts without
    spaces between words (`UNSPACED`), an entry matches at any position.

    The search time is proportional to the length of the text, and independent of the number of entries (trie).

    Args:
        entries: the words and phrases.

    Raises:
        ValueError: if there are no entries, or an entry is empty after `fold`.

    Example:
        >>> "It was a  ＢＡＤ\\nday." in WordList(["bad day"])
        True
    """

    def __init__(self, entries: Iterable[str]) -> None:
        # A trie: each node maps the next piece to a node, and "" to the entry that ends at this node.
        self._next: dict[str, Any] = {}
        self._count = 0
        for entry in entries:
            self._add(entry)
        if not self._count:
            raise ValueError("the word list is empty; give at least one word, or no list")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "WordList":
        """Read a word list from a UTF-8 file, plain or gzipped, with one entry per line.

        Blank lines and lines that start with # are skipped.

        Raises:
            FileNotFoundError, IsADirectoryError: if the path is not a file.
            ValueError: for an invalid line (the message has the file and the line number), or a file without entries.
        """
        path = os.fspath(path)
        check_file(path, noun="word")
        words = cls.__new__(cls)
        words._next = {}
        words._count = 0
        for number, text, problem in read_lines(path):
            if problem is None and (not text.strip() or text.lstrip().startswith("#")):
                continue
            try:
                if problem is not None:
                    raise ValueError(problem.partition(", or read it with ")[0])  # a word list has no reading options
                words._add(text)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
        if not words._count:
            raise ValueError(f"{path}: the word list is empty; write one word or phrase per line")
        return words

    def __len__(self) -> int:
        return self._count

    def __contains__(self, text: str) -> bool:
        return self.find(text) is not None

    def find(self, text: str) -> str | None:
        """Return the first entry in a text, in its original spelling; None if the text contains no entry.

        If several entries begin at the same position, the shortest is returned.
        """
        pieces = list(_pieces(fold(text)))
        for start in range(len(pieces)):
            node = self._next
            position = start
            while position < len(pieces) and (node := node.get(pieces[position], {})):
                if "" in node:
                    return str(node[""])
                position += 1
        return None

    def _add(self, entry: str) -> None:
        pieces = list(_pieces(fold(entry)))
        if not pieces:
            message = "has no visible characters to search for; write a word or a phrase, or remove the line"
            raise ValueError(f"{entry!r} {message}")
        node = self._next
        for piece in pieces:
            node = node.setdefault(piece, {})
        self._count += "" not in node
        node.setdefault("", entry.strip())


def fold(text: str) -> str:
    """Normalize a text so that spelling variants become equal.

    Letters are case-folded and lose compatibility forms (NFKC: full width, styled and circled letters, ligatures).
    Invisible characters are removed, and so are combining marks that form no distinct letter with their base; a letter
    with several such marks loses all its marks. White space becomes a single space, all dashes become "-" and all
    apostrophes "'". Accented letters are kept, since an accent often makes a different word.
    """
    seen = unicodedata.normalize("NFKC", text.translate(_alike()))
    folded = unicodedata.normalize("NFKC", seen.casefold()).translate(_alike())
    return " ".join(unicodedata.normalize("NFKC", _loose().sub(_without_marks, folded)).split())


def _without_marks(match: "re.Match[str]") -> str:
    """Return the character of a match without its combining marks.

    If it has several marks, the accent that is part of the character itself is removed too.
    """
    base, marks = match.groups()
    if len(re.findall(f"[{_ranges(ANYWHERE)}]", marks)) < 2:
        return str(base)
    return re.sub(f"[{_ranges(ANYWHERE)}]", "", unicodedata.normalize("NFD", base))


def _pieces(folded: str) -> Iterator[str]:
    """Split a normalized text into words and single characters.

    A character of a script without spaces, a space or a punctuation mark is a separate piece, with its marks.
    """
    return (match[0] for match in _piece().finditer(folded))


# Tables, built on first use


def _ranges(codes: Iterable[tuple[int, int]]) -> str:
    """Format code point ranges for a character class of a regular expression."""
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in codes)


@cache
def _piece() -> "re.Pattern[str]":
    """Return a pattern for a piece: a word in a script with spaces, or any other character with its marks."""
    unspaced = _ranges(UNSPACED)
    characters = map(chr, range(LAST + 1))
    marks = "".join(re.escape(char) for char in characters if unicodedata.category(char).startswith("M"))
    return re.compile(f"(?:(?![{unspaced}_])[\\w{marks}])+|.[{marks}]*", re.DOTALL)


@cache
def _loose() -> "re.Pattern[str]":
    loose = _ranges(ANYWHERE + POINTS)
    return re.compile(f"([^{loose}]?)([{loose}]+)")


@cache
def _alike() -> dict[int, str | None]:
    """Return a translation table that removes invisible characters and unifies dashes and apostrophes."""
    table: dict[int, str | None] = {code: None for first, last in UNSEEN for code in range(first, last + 1)}
    for code in range(LAST + 1):
        category = unicodedata.category(chr(code))
        if category in ("Cf", "Cc") and not chr(code).isspace():
            table[code] = None
        elif category == "Pd":
            table[code] = "-"
    return table | dict.fromkeys(map(ord, "‘’ʼʻ`´"), "'") | {0x2212: "-", 0x2800: " "}

"""Code points in, a class for each out: the script of a letter, or what is wrong with it."""

import unicodedata

import numpy as np

OTHER, REPLACEMENT, CONTROL, HIDDEN = range(4)
"""The classes that are no script: digits, punctuation and the like; and three that ought not to be there."""

HIDDEN_CHARACTERS = "\u00ad\u200b\u2060\u2061\u2062\u2063\u2064\ufeff\u202a-\u202e\u2066-\u2069"
"""Zero-width characters and direction controls, as they stand in a character class. Joiners (U+200C, U+200D) and marks
(U+200E, U+200F) are not among them: emoji and right-to-left scripts need those."""

FIRST_SCRIPT = 4
_CLASSES = 256
_UNKNOWN = 255
_CODE_POINTS = 0x110000
_TO_BE_PASSED_OVER = {"FULLWIDTH", "HALFWIDTH", "MODIFIER", "SUPERSCRIPT", "SUBSCRIPT", "MATHEMATICAL", "CIRCLED"}
_NAMES = {"CJK": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana", "KATAKANA-HIRAGANA": "Kana", "IDEOGRAPHIC": "Han"}
_LATIN = {
    "LETTER",
    "SMALL",
    "CAPITAL",
    "MICRO",
    "FEMININE",
    "MASCULINE",
    "BOLD",
    "ITALIC",
    "DOUBLE-STRUCK",
    "SANS-SERIF",
}


class CharacterClasses:
    """A table from code points to classes, filled for those that are met.

    The script of a letter is the first word of its Unicode name ("CYRILLIC SMALL LETTER A"); unicodedata has no other.
    """

    def __init__(self) -> None:
        self._table = np.full(_CODE_POINTS, _UNKNOWN, dtype=np.uint8)
        self.scripts: list[str] = []
        self._hidden = _expanded(HIDDEN_CHARACTERS)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(N,) code points in, the class of each out; class `script_class(n)` is `scripts[n]`."""
        classes = self._table[points]
        if (classes == _UNKNOWN).any():
            for point in np.unique(points[classes == _UNKNOWN]).tolist():
                self._table[point] = self._classify(chr(point))
            classes = self._table[points]
        return classes

    @staticmethod
    def script_class(number: int) -> int:
        """The class of the script with this number."""
        return number + FIRST_SCRIPT

    def _classify(self, character: str) -> int:
        if character in "\n\t\r":
            return OTHER
        if character == "\ufffd":
            return REPLACEMENT
        if character in self._hidden:
            return HIDDEN
        if unicodedata.category(character) == "Cc":
            return CONTROL
        if not character.isalpha():
            return OTHER
        script = script_of(character)
        if script not in self.scripts:
            if len(self.scripts) == _UNKNOWN - FIRST_SCRIPT:
                return OTHER
            self.scripts.append(script)
        return self.script_class(self.scripts.index(script))


def script_of(letter: str) -> str:
    """The script of a letter: `Latin`, `Han`, `Kana`, ..."""
    words = unicodedata.name(letter, "UNNAMED").split()
    word = next((word for word in words if word not in _TO_BE_PASSED_OVER), "UNNAMED")
    return "Latin" if word in _LATIN else _NAMES.get(word, word.title())


def _expanded(character_class: str) -> frozenset[str]:
    """The characters of a class such as `a-cx`."""
    found: set[str] = set()
    for i, character in enumerate(character_class):
        if character == "-":
            first, last = ord(character_class[i - 1]), ord(character_class[i + 1])
            found.update(map(chr, range(first, last + 1)))
        else:
            found.add(character)
    return frozenset(found)

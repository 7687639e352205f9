"""Classes of characters: scripts of letters, and characters that a text should not contain."""

import re
import unicodedata
from collections import Counter

import numpy as np

from convmodel.reports.inspection.chunks import Chunk
from convmodel.reports.inspection.findings import EXAMPLES, excerpt

OTHER, REPLACEMENT, CONTROL, HIDDEN = range(4)
"""Classes of characters that are not letters. `OTHER` are digits, punctuation and the like."""

HIDDEN_CHARACTERS = "\u00ad\u200b\u2060\u2061\u2062\u2063\u2064\ufeff\u202a-\u202e\u2066-\u2069"
"""Zero-width characters and direction controls, in the syntax of a regex character class.

Joiners (U+200C, U+200D) and marks (U+200E, U+200F) are left out, because emoji and right-to-left scripts need them.
"""

FIRST_SCRIPT = 4
_CLASSES = 256
_UNKNOWN = 255
_CODE_POINTS = 0x110000
_IGNORED_WORDS = {"FULLWIDTH", "HALFWIDTH", "MODIFIER", "SUPERSCRIPT", "SUBSCRIPT", "MATHEMATICAL", "CIRCLED"}
_NAMES = {"CJK": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana", "KATAKANA-HIRAGANA": "Kana", "IDEOGRAPHIC": "Han"}
_LATIN = {
    *("LETTER", "SMALL", "CAPITAL", "MICRO", "FEMININE", "MASCULINE"),
    *("BOLD", "ITALIC", "DOUBLE-STRUCK", "SANS-SERIF"),
}
_HIDDEN = re.compile(f"[{HIDDEN_CHARACTERS}]")


class CharacterClasses:
    """Mapping of code points to classes of characters, filled when needed.

    The script of a letter is taken from the first word of its Unicode name ("CYRILLIC SMALL LETTER A"), because
    `unicodedata` does not have the property Script.
    """

    def __init__(self) -> None:
        self._table = np.full(_CODE_POINTS, _UNKNOWN, dtype=np.uint8)
        self.scripts: list[str] = []

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the (N,) classes of (N,) code points. The script `scripts[n]` has the class `script_class(n)`."""
        classes: np.ndarray = self._table[points]
        if (classes == _UNKNOWN).any():
            for point in np.unique(points[classes == _UNKNOWN]).tolist():
                self._table[point] = self._classify(chr(point))
            classes = self._table[points]
        return classes

    @staticmethod
    def script_class(index: int) -> int:
        """Return the class of `scripts[index]`."""
        return index + FIRST_SCRIPT

    def _classify(self, character: str) -> int:
        if character in "\n\t\r":
            return OTHER
        if character == "\ufffd":
            return REPLACEMENT
        if _HIDDEN.match(character):
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
    """Return the name of the script of a letter: `Latin`, `Han`, `Kana`, ..."""
    words = unicodedata.name(letter, "UNNAMED").split()
    word = next((word for word in words if word not in _IGNORED_WORDS), "UNNAMED")
    return "Latin" if word in _LATIN else _NAMES.get(word, word.title())


RARE = 0.01
"""Maximum share of conversations of a file in a script for the script to be rare."""

JAPANESE = "Japanese"
NO_LETTERS = "no letters"


class ScriptTally:
    """Counts conversations by the script of most of their letters.

    Han counts as Japanese in a conversation that contains kana.
    """

    def __init__(self, classes: CharacterClasses) -> None:
        self._classes = classes
        self._counts: Counter[str] = Counter()
        self._first: dict[str, list[tuple[int, str]]] = {}

    def add(self, chunk: Chunk, classes: np.ndarray) -> None:
        """Count the conversations of a chunk. `classes` are the classes of the characters of `chunk.joined`."""
        rows = len(chunk.conversations)
        width = FIRST_SCRIPT + len(self._classes.scripts)
        owners = np.repeat(chunk.owners, np.diff(chunk.text_starts))
        counts = np.bincount(owners * width + classes, minlength=rows * width).reshape(rows, width)[:, FIRST_SCRIPT:]
        names = [*self._classes.scripts]
        self._merge_japanese(counts, names)
        main = np.where(counts.any(axis=1), counts.argmax(axis=1), len(names)) if names else np.zeros(rows, int)
        names.append(NO_LETTERS)
        for script in np.unique(main).tolist():
            name = names[script]
            in_script = np.flatnonzero(main == script)
            self._counts[name] += len(in_script)
            first = self._first.setdefault(name, [])
            for row in in_script[: EXAMPLES - len(first)].tolist():
                first.append((int(chunk.lines[row]), f"{name}: {excerpt(chunk.conversations[row].turns[0])}"))

    @staticmethod
    def _merge_japanese(counts: np.ndarray, names: list[str]) -> None:
        if "Kana" not in names:
            return
        kana = counts[:, names.index("Kana")]
        if "Han" in names:
            han = counts[:, names.index("Han")]
            mixed = kana > 0
            kana[mixed] += han[mixed]
            han[mixed] = 0
        names[names.index("Kana")] = JAPANESE

    def shares(self) -> tuple[tuple[str, int], ...]:
        """Return the scripts with their numbers of conversations, most frequent first."""
        return tuple(self._counts.most_common())

    def rare(self) -> tuple[int, list[tuple[int, str]]]:
        """Return the number of conversations in rare scripts, and lines and texts of the first of them."""
        total = self._counts.total()
        scripts = [s for s, count in self._counts.items() if s != NO_LETTERS and count <= RARE * total]
        first = sorted(example for script in scripts for example in self._first[script])
        return sum(self._counts[script] for script in scripts), first[:EXAMPLES]

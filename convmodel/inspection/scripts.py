"""Classes of characters in, the scripts of a file and the conversations that stray from them out."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from convmodel.inspection.characters import FIRST_SCRIPT, CharacterClasses
from convmodel.inspection.chunks import Chunk
from convmodel.inspection.findings import EXAMPLES, excerpt

RARE = 0.01
"""A script in which at most this share of a file's conversations is written is rare there."""

JAPANESE = "Japanese"
NO_LETTERS = "no letters"


@dataclass(frozen=True)
class ScriptShare:
    """A script and how many conversations of a file are mainly written in it."""

    script: str
    conversations: int


class ScriptTally:
    """Counts conversations by the script that most of their letters are of; Han counts as Japanese beside kana.

    Args:
        classes: the table by which the chunks' characters were classified.
    """

    def __init__(self, classes: CharacterClasses) -> None:
        self._classes = classes
        self._counts: Counter[str] = Counter()
        self._first: dict[str, list[tuple[int, str]]] = {}

    def add(self, chunk: Chunk, classes: np.ndarray) -> None:
        """Counts the conversations of a chunk, whose characters have these classes."""
        rows = len(chunk.conversations)
        width = FIRST_SCRIPT + len(self._classes.scripts)
        owners = np.repeat(chunk.owners, np.diff(chunk.text_starts))
        counts = np.bincount(owners * width + classes, minlength=rows * width).reshape(rows, width)[:, FIRST_SCRIPT:]
        names = [*self._classes.scripts]
        counts = self._with_japanese(counts, names)
        main = np.where(counts.any(axis=1), counts.argmax(axis=1), len(names)) if names else np.zeros(rows, int)
        names.append(NO_LETTERS)
        for number in np.unique(main).tolist():
            which = np.flatnonzero(main == number)
            self._counts[names[number]] += len(which)
            first = self._first.setdefault(names[number], [])
            for row in which[: EXAMPLES - len(first)].tolist():
                first.append((int(chunk.lines[row]), f"{names[number]}: {excerpt(chunk.conversations[row].turns[0])}"))

    @staticmethod
    def _with_japanese(counts: np.ndarray, names: list[str]) -> np.ndarray:
        if "Kana" not in names:
            return counts
        kana = counts[:, names.index("Kana")]
        japanese = kana.copy()
        if "Han" in names:
            han = counts[:, names.index("Han")]
            japanese += np.where(kana > 0, han, 0)
            han[kana > 0] = 0
        names[names.index("Kana")] = JAPANESE
        counts[:, names.index(JAPANESE)] = japanese
        return counts

    def shares(self) -> tuple[ScriptShare, ...]:
        """The scripts, the most frequent first."""
        return tuple(ScriptShare(script, count) for script, count in self._counts.most_common())

    def rare(self) -> tuple[int, list[tuple[int, str]]]:
        """How many conversations are in a rare script; the first ones as line and text."""
        total = self._counts.total()
        scripts = [s for s, count in self._counts.items() if s != NO_LETTERS and count <= RARE * total]
        first = sorted(example for script in scripts for example in self._first[script])
        return sum(self._counts[script] for script in scripts), first[:EXAMPLES]

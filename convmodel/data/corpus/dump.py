"""The contract of a dump: its lines become rows of a thread, and the rows of a thread become conversations."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from convmodel.data.corpus.rows import Row


@dataclass(frozen=True)
class TurnLimits:
    """Limits of turns and conversations.

    Args:
        min_words, max_words: number of words of a turn, separated by white space.
        min_turns, max_turns: number of turns of a conversation; longer conversations are divided.
    """

    min_words: int = 1
    max_words: int = 128
    min_turns: int = 2
    max_turns: int = 20

    def check(self) -> None:
        """Raise ValueError for limits that allow nothing."""
        for name, smallest in (("words", 1), ("turns", 2)):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if not smallest <= low <= high:
                raise ValueError(
                    f"--min-{name} {low} --max-{name} {high}: allowed are numbers from {smallest} on, the first one "
                    "at most as large as the second"
                )

    def fault(self, text: str) -> str | None:
        """Return the reason to leave out a text that is not blank: "too short" or "too long"; None to keep it."""
        if self.min_words == 1 and len(text) < 2 * self.max_words:
            return None  # a word and the space after it are two characters at least
        words = len(text.split())
        if words < self.min_words:
            return "too short"
        return "too long" if words > self.max_words else None


class Dump(Protocol):
    """A kind of dump.

    Attributes:
        name: its name on the command line.
        item: the noun of its items in counts, in the plural.
    """

    name: str
    item: str

    def rows(self, path: str, limits: TurnLimits, counts: Counter[str]) -> Iterator[Row]:
        """Yield the rows of a file, each beginning with the name of its thread, and count what is left out.

        Raises:
            DamagedContainer: when a compressed file is damaged or cut off.
        """

    def conversations(self, rows: Sequence[Row], limits: TurnLimits) -> Iterator[list[str]]:
        """Yield the turns of the conversations of one thread.

        Args:
            rows: the rows of the thread, sorted by their second value. A dump may contain an item twice.
        """

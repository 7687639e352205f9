"""What is found in one file, bit by bit, in; findings with their first examples out."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from convmodel.inspection.chunks import Chunk
from convmodel.inspection.findings import EXAMPLES, KINDS, Example, Finding, excerpt


class Tally:
    """Counts by kind, and keeps the first examples.

    Args:
        place: a line of the file in, its name for a person out.
    """

    def __init__(self, place: Callable[[int], str]) -> None:
        self._place = place
        self._counts: Counter[str] = Counter()
        self._examples: defaultdict[str, list[Example]] = defaultdict(list)

    def add(self, kind: str, line: int, text: Callable[[], str]) -> None:
        """Counts one; `text` is asked only when it becomes an example."""
        self._counts[kind] += 1
        if len(self._examples[kind]) < EXAMPLES:
            self._examples[kind].append(Example(self._place(line), text()))

    def add_text(self, kind: str, chunk: Chunk, segment: int, *, at: int = 0) -> None:
        """Counts a text in which something stands at a position."""
        line = int(chunk.lines[chunk.owners[segment]])
        self.add(kind, line, lambda: f"{chunk.name_of(segment)}: {excerpt(chunk.texts[segment], around=at)}")

    def note(self, kind: str, count: int, examples: Iterable[Example]) -> None:
        """Takes over what was counted elsewhere; nothing when `count` is 0."""
        if count:
            self._counts[kind] += count
            self._examples[kind].extend(examples)

    def findings(self, source: str, totals: dict[str, int]) -> list[Finding]:
        """What was found.

        Args:
            source: the file.
            totals: for each unit of KINDS, how many were looked at.
        """
        return [
            Finding(kind, source, count, totals[KINDS[kind].unit], tuple(self._examples[kind]))
            for kind, count in self._counts.items()
        ]

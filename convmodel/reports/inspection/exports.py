"""Statistics of chat exports: messages of each person, conversations per month, and replies to learn from."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convmodel.data.data_file import Notes
from convmodel.data.reader import format_count
from convmodel.reports.inspection.chunks import Chunk
from convmodel.reports.inspection.findings import share
from convmodel.reports.tables import Table

MAX_PEOPLE = 10
"""Maximum number of people listed for a file."""

MAX_PERIODS = 24
"""Maximum number of months listed for a file. If a file has more, years are listed."""

AMOUNTS = (
    (10_000, "enough to train a small model from scratch"),
    (1_000, "enough to fine-tune a pretrained model; from scratch its sentences stay broken"),
    (0, "too few to train a model from scratch; fine-tune a pretrained one, or choose among your own sentences"),
)
"""Minimum numbers of conversations, each with a text that names the training for which they are enough."""


@dataclass(frozen=True)
class ExportReport:
    """Statistics of one chat export.

    Args:
        replies: number of turns of the replying speaker that have a turn before them.
        people: name, number of messages and number of characters of each person, most messages first.
        months: month, such as "2024-05", and number of conversations that begin in it, in order.
    """

    replies: int
    people: tuple[tuple[str, int, int], ...]
    months: tuple[tuple[str, int], ...]

    def periods(self) -> list[tuple[str, int]]:
        """Return the number of conversations per month, or per year if there are more than `MAX_PERIODS` months."""
        if len(self.months) <= MAX_PERIODS:
            return list(self.months)
        years: Counter[str] = Counter()
        for month, count in self.months:
            years[month[:4]] += count
        return sorted(years.items())


class ExportTally:
    """Counts replies, and conversations per month."""

    def __init__(self) -> None:
        self._replies = 0
        self._months: Counter[str] = Counter()

    def add(self, chunk: Chunk) -> None:
        """Count a chunk. The time of a conversation is `meta["time"]`, which the readers of chat exports set."""
        for conversation in chunk.conversations:
            self._replies += len(conversation.turns) // 2
            time = (conversation.meta or {}).get("time")
            if isinstance(time, str) and time[:4].isdigit() and time[4:5] == "-" and time[5:7].isdigit():
                self._months[time[:7]] += 1

    def report(self, notes: Notes) -> ExportReport:
        """Return the report of a file that was read completely. `notes` are those of its reader."""
        people = tuple((name, count, notes.characters[name]) for name, count in notes.messages.most_common())
        return ExportReport(self._replies, people, tuple(sorted(self._months.items())))


def people_table(named: Sequence[tuple[str, ExportReport]]) -> Table:
    """Return a table of the people of each file, which is empty without chat exports."""
    return Table(("person", "messages", "share", "characters each"), tuple(_people_rows(named)))


def _people_rows(named: Sequence[tuple[str, ExportReport]]) -> Iterator[tuple[str, ...]]:
    for name, report in named:
        total = sum(messages for _, messages, _ in report.people)
        if report.people and len(named) > 1:
            yield (name,)
        for person, messages, characters in report.people[:MAX_PEOPLE]:
            yield person, f"{messages:,}", share(messages, total), f"{characters / messages:.0f}"
        others = report.people[MAX_PEOPLE:]
        if others:
            messages = sum(count for _, count, _ in others)
            characters = sum(count for *_, count in others)
            each = f"{characters / messages:.0f}"
            yield f"{len(others):,} others", f"{messages:,}", share(messages, total), each


def period_table(named: Sequence[tuple[str, ExportReport]]) -> Table:
    """Return a table of the conversations per month or year, which is empty if no conversation has a time."""
    rows: list[tuple[str, ...]] = []
    for name, report in named:
        if report.months and len(named) > 1:
            rows.append((name,))
        rows += [(period, f"{count:,}") for period, count in report.periods()]
    return Table(("time", "conversations"), tuple(rows))


def describe_amount(name: str, conversations: int, report: ExportReport) -> str:
    """Return a sentence on the number of conversations of a file, and the training for which they are enough."""
    enough = next(text for least, text in AMOUNTS if conversations >= least)
    counted = f"{format_count(conversations, 'conversation')} with {format_count(report.replies, 'reply')}"
    return f"{name}: {counted} to learn from; {enough} (an estimate, see docs/inspect.md)."

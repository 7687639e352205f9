"""A Job and what is asked for each of its items in, a file of lines out, written in the order of the input."""

import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from convmodel.cli.bulk.job import Job
from convmodel.cli.bulk.journal import open_journal
from convmodel.data.reader import count
from convmodel.errors import QueueFull
from convmodel.responders.protocol import Generator

_PATIENCE = 0.05
"""Seconds until a full queue, in which nothing is ours, is tried again."""


@dataclass(frozen=True)
class Result:
    """What was done.

    Args:
        lines: how many the file has.
        before: how many of them were there when it began.
        failed: how many lines written now have nothing of what was asked for.
        seconds: how long it took.
        read: what a person is told of the input.
        nouns: what is written, one and several.
    """

    lines: int
    before: int
    failed: int
    seconds: float
    read: str
    nouns: tuple[str, str]

    def summary(self, name: str) -> str:
        """One sentence for a person about the file of that name."""
        one, several = self.nouns
        new = self.lines - self.before
        lines = count(self.lines, "line")
        if not new:
            return f"{name}: complete already, {lines}"
        went_on = f", {self.before:,} of them from before" if self.before else ""
        without = f"; {self.failed:,} without a {one}" if self.failed else ""
        return f"{name}: {lines}{went_on}; {new / max(self.seconds, 1e-9):,.1f} {several}/s{without}"


class Progress(Protocol):
    """Shows how far it is."""

    def update(self, n: float | None = 1) -> object:
        """So many more are written."""


ShowProgress = Callable[[int, int], AbstractContextManager[Progress]]
"""How many there are in all, and how many were there before."""


@dataclass(frozen=True)
class Line:
    """A line of the output.

    Args:
        text: without its end.
        failed: whether there is nothing in it of what was asked for.
    """

    text: str
    failed: bool


class BatchHandle(Protocol):
    """What was asked for and is being made."""

    def cancel(self) -> None:
        """Ends it now."""


MakerT = TypeVar("MakerT", bound=Generator)
JobT = TypeVar("JobT", bound=Job)
Item = TypeVar("Item")
InWorkT = TypeVar("InWorkT", bound=BatchHandle)


class BatchTask(ABC, Generic[MakerT, JobT, Item, InWorkT]):
    """What is asked for each item of a job's input, and what line it comes to.

    Args:
        maker: what is asked.
        job: what is to be done.
    """

    noun: ClassVar[str]
    """An item, as errors call it."""

    nouns: ClassVar[tuple[str, str]]
    """What is written for it, one and several."""

    def __init__(self, maker: MakerT, job: JobT) -> None:
        self.maker, self.job = maker, job

    @property
    def options(self) -> Mapping[str, Any]:
        """All that are in effect.

        Raises:
            ValueError: for those of the job that cannot be followed.
        """
        self.maker.check_options(self.job.options)
        return {**self.maker.options, **self.job.options}

    @abstractmethod
    def begin(self, number: int, item: Item) -> InWorkT:
        """Asks for an item and returns at once.

        Args:
            number: of the item in the input, from 0.
            item: what is asked for.

        Raises:
            QueueFull: when too much is being made.
            ValueError: when it cannot be made.
        """

    @abstractmethod
    def line(self, item: Item, work: InWorkT) -> Line:
        """Waits for what was asked for. Raises ValueError when it could not be made."""

    @abstractmethod
    def line_without(self, item: Item, error: str) -> str:
        """The line of an item for which nothing could be made."""


def run_job(asking: BatchTask[Any, Any, Any, Any], *, digest: str, show: ShowProgress) -> Result:
    """Writes a line for each item of a file.

    The input is read once to its end before anything is asked, so that what cannot be read is told at once.

    Args:
        asking: for what.
        digest: of the model.
        show: makes a bar.

    Raises:
        ValueError, OSError: for an input that cannot be read, an item for which nothing can be made, or an output that
            is there and was made in another way.
    """
    job, options = asking.job, asking.options
    reader = job.reader()
    total = sum(1 for _ in reader)
    begun, failed = time.monotonic(), 0
    about = job.about(digest=digest, options=options)
    with open_journal(Path(job.output), about, overwrite=job.overwrite) as journal:
        if journal.complete:
            return Result(total, total, 0, 0.0, reader.report.summary(), asking.nouns)
        with show(total, journal.done) as progress:
            for line in _lines(asking, first=journal.done):
                journal.add(line.text)
                failed += line.failed
                progress.update()
        journal.finish()
        seconds = time.monotonic() - begun
        return Result(total, journal.done, failed, seconds, reader.report.summary(), asking.nouns)


@dataclass(frozen=True)
class _Asked:
    """An item, and what is being made of it, or why that cannot be."""

    number: int
    item: Any
    work: Any


def _lines(asking: BatchTask[Any, Any, Any, Any], *, first: int) -> Iterator[Line]:
    """The lines of the output from the given one on."""
    asked: deque[_Asked] = deque()
    try:
        for number, item in islice(enumerate(asking.job.reader()), first, None):
            while len(asked) >= asking.job.concurrency:
                yield _line(asking, asked.popleft())
            while (one := _ask(asking, number, item)) is None:
                if asked:
                    yield _line(asking, asked.popleft())
                else:
                    time.sleep(_PATIENCE)
            asked.append(one)
        while asked:
            yield _line(asking, asked.popleft())
    finally:
        for one in asked:
            if not isinstance(one.work, ValueError):
                one.work.cancel()


def _ask(asking: BatchTask[Any, Any, Any, Any], number: int, item: Any) -> _Asked | None:
    """Begins with an item; None when there is too much to do."""
    try:
        return _Asked(number, item, asking.begin(number, item))
    except QueueFull:
        return None
    except ValueError as error:
        return _Asked(number, item, error)


def _line(asking: BatchTask[Any, Any, Any, Any], asked: _Asked) -> Line:
    """Waits for what was asked for and makes it a line."""
    try:
        if isinstance(asked.work, ValueError):
            raise asked.work
        return asking.line(asked.item, asked.work)
    except ValueError as error:
        if asking.job.on_error == "stop":
            raise ValueError(
                f"{asking.job.input}: {asking.noun} {asked.number + 1}: {error}, or go on with --on_error skip"
            ) from error
        return Line(asking.line_without(asked.item, str(error)), True)


def rounded(score: float | None) -> float | None:
    """More digits would tell of the others in the batch; what has no text has no score, as JSON knows no infinity."""
    return None if score is None or not math.isfinite(score) else round(score, 4)

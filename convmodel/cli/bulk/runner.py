"""Batch generation: one output line for each item of an input file, in the order of the input."""

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
from convmodel.data.reader import format_count
from convmodel.errors import QueueFull
from convmodel.responders.protocol import Generator, ReplyHandle

_RETRY_SECONDS = 0.05
"""Delay before a full queue is tried again when none of its requests belongs to this job."""


@dataclass(frozen=True)
class Result:
    """Summary of a finished job.

    Args:
        lines: number of lines in the output.
        resumed: number of those lines that an earlier run had written.
        failed: number of lines written by this run that contain no text.
        seconds: duration of this run.
        input_summary: the reader's report on the input, for a person.
        nouns: the name of an output text, in singular and plural.
    """

    lines: int
    resumed: int
    failed: int
    seconds: float
    input_summary: str
    nouns: tuple[str, str]

    def summary(self, name: str) -> str:
        """Return one sentence about the output file for a person."""
        singular, plural = self.nouns
        new = self.lines - self.resumed
        lines = format_count(self.lines, "line")
        if not new:
            return f"{name}: complete already, {lines}"
        resumed = f", {self.resumed:,} of them from before" if self.resumed else ""
        failed = f"; {self.failed:,} without a {singular}" if self.failed else ""
        return f"{name}: {lines}{resumed}; {new / max(self.seconds, 1e-9):,.1f} {plural}/s{failed}"


class Progress(Protocol):
    """A progress bar."""

    def update(self, n: float | None = 1) -> object:
        """Advance the bar by `n` lines."""


ShowProgress = Callable[[int, int], AbstractContextManager[Progress]]
"""Opens a progress bar from the total number of lines and the number written by an earlier run."""


@dataclass(frozen=True)
class Line:
    """A line of the output.

    Args:
        text: the line without its newline.
        failed: whether the line contains no text.
    """

    text: str
    failed: bool


ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class BatchTask(ABC, Generic[ItemT, ResultT]):
    """Conversion of a job's items to requests, and of their results to output lines.

    Args:
        generator: answers the requests.
        job: the input, the output and the options.
    """

    generator: Generator
    job: Job

    noun: ClassVar[str]
    """Name of an input item in errors."""

    nouns: ClassVar[tuple[str, str]]
    """Name of an output text, in singular and plural."""

    @property
    def options(self) -> Mapping[str, Any]:
        """All options in effect.

        Raises:
            ValueError: for an invalid option of the job.
        """
        self.generator.check_options(self.job.options)
        return {**self.generator.options, **self.job.options}

    @abstractmethod
    def start(self, index: int, item: ItemT) -> ReplyHandle[ResultT]:
        """Start the request of an item and return at once.

        Args:
            index: index of the item in the input, from 0.
            item: an input item.

        Raises:
            QueueFull: when too many requests wait.
            ValueError: for an item that the model cannot process.
        """

    @abstractmethod
    def line(self, item: ItemT, result: ResultT) -> Line:
        """Return the output line of an item."""

    @abstractmethod
    def error_line(self, item: ItemT, error: str) -> str:
        """Return the output line of an item whose request failed."""


def run_job(task: BatchTask[Any, Any], *, digest: str, show: ShowProgress) -> Result:
    """Write an output line for each input item.

    The whole input is read once before the first request, so that an unreadable line is reported at once.

    Args:
        task: the job and its conversions.
        digest: digest of the model, which a resumed run must share.
        show: opens a progress bar.

    Raises:
        ValueError, OSError: for an unreadable input, an item that the model cannot process, or an existing output that
            was written with other settings.
    """
    job = task.job
    options = task.options
    reader = job.reader()
    total = sum(1 for _ in reader)
    started_at = time.monotonic()
    failed = 0
    about = job.about(digest=digest, options=options)
    with open_journal(Path(job.output), about, overwrite=job.overwrite) as journal:
        if journal.complete:
            return Result(total, total, 0, 0.0, reader.report.summary(), task.nouns)
        with show(total, journal.done) as progress:
            for line in _lines(task, first=journal.done):
                journal.add(line.text)
                failed += line.failed
                progress.update()
        journal.finish()
        seconds = time.monotonic() - started_at
        return Result(total, journal.done, failed, seconds, reader.report.summary(), task.nouns)


@dataclass(frozen=True)
class _Pending:
    """An item and its running request, or the error that prevented the request."""

    index: int
    item: Any
    handle: ReplyHandle[Any] | ValueError


def _lines(task: BatchTask[Any, Any], *, first: int) -> Iterator[Line]:
    """Yield the output lines from the one with index `first` on."""
    queue: deque[_Pending] = deque()
    try:
        for index, item in islice(enumerate(task.job.reader()), first, None):
            while len(queue) >= task.job.concurrency:
                yield _wait_for_line(task, queue.popleft())
            while (pending := _start(task, index, item)) is None:
                if queue:
                    yield _wait_for_line(task, queue.popleft())
                else:
                    time.sleep(_RETRY_SECONDS)
            queue.append(pending)
        while queue:
            yield _wait_for_line(task, queue.popleft())
    finally:
        for pending in queue:
            if not isinstance(pending.handle, ValueError):
                pending.handle.cancel()


def _start(task: BatchTask[Any, Any], index: int, item: Any) -> _Pending | None:
    """Start the request of an item; return None if the queue is full."""
    try:
        return _Pending(index, item, task.start(index, item))
    except QueueFull:
        return None
    except ValueError as error:
        return _Pending(index, item, error)


def _wait_for_line(task: BatchTask[Any, Any], pending: _Pending) -> Line:
    """Wait for a request and convert its result."""
    try:
        if isinstance(pending.handle, ValueError):
            raise pending.handle
        return task.line(pending.item, pending.handle.result())
    except ValueError as error:
        if task.job.on_error == "stop":
            raise ValueError(
                f"{task.job.input}: {task.noun} {pending.index + 1}: {error}, or continue with --on_error skip"
            ) from error
        return Line(task.error_line(pending.item, str(error)), True)


def round_score(score: float | None) -> float | None:
    """Round a score to four digits; return None for an infinite one, which JSON cannot represent.

    More digits would depend on the other requests in the batch. The score of an empty text is infinite.
    """
    return None if score is None or not math.isfinite(score) else round(score, 4)

"""Runs of batch jobs: one output line for each item of the input, in the order of the input."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from convmodel.cli.bulk.job import Job
from convmodel.cli.bulk.journal import open_journal
from convmodel.data.options import name_option
from convmodel.data.reader import format_count, source_name
from convmodel.errors import QueueFull
from convmodel.responders.protocol import ReplyHandle

_RETRY_SECONDS = 0.05
"""Delay in seconds before a request is submitted again, if the queue is full and no request in it is from this job."""


@dataclass(frozen=True)
class Result:
    """Summary of a finished job. Lines without a text count as failed.

    Args:
        resumed: number of lines that an earlier run had written.
        seconds: duration of this run.
        input_summary: the reader's human-readable report on the input.
        nouns: name of an output text, in singular and plural.
    """

    lines: int
    resumed: int
    failed: int
    seconds: float
    input_summary: str
    nouns: tuple[str, str]

    def summary(self, name: str) -> str:
        """Return a human-readable sentence about the output file `name`."""
        singular, plural = self.nouns
        new = self.lines - self.resumed
        lines = format_count(self.lines, "line")
        if not new:
            return f"{name}: complete already, {lines}"
        resumed = f", {self.resumed:,} of them from before" if self.resumed else ""
        failed = f"; {self.failed:,} without a {singular}" if self.failed else ""
        return f"{name}: {lines}{resumed}; {new / max(self.seconds, 1e-9):,.1f} {plural}/s{failed}"


def run_job(job: Job[Any, Any]) -> Result:
    """Write an output line for each input item, with a progress bar.

    The whole input is read once before the first request, so that an unreadable line is reported at once.

    Raises:
        ValueError, OSError: for an unreadable input, an item that the model cannot process, or an existing output that
            was written with other settings.
    """
    job.generator.check_options(job.options)
    reader = job.reader()
    total = sum(1 for _ in reader)
    started_at = time.monotonic()
    failed = 0
    with open_journal(Path(job.output), job.about(), overwrite=job.overwrite) as journal:
        if not journal.complete:
            with progress_bar(total, journal.done, unit=job.nouns[1]) as advance:
                for line, has_text in _lines(job, first=journal.done):
                    journal.add(line)
                    failed += not has_text
                    advance()
            journal.finish()
        done = total if journal.complete else journal.done
        return Result(total, done, failed, time.monotonic() - started_at, reader.report.summary(), job.nouns)


@contextmanager
def progress_bar(total: int, done: int, *, unit: str) -> Iterator[Callable[[], object]]:
    """Show a progress bar on stderr, if it is a terminal and tqdm is installed; yield a function that advances it."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield lambda: None
        return
    with tqdm(total=total, initial=done, unit=f" {unit}", disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:
        yield bar.update


_Pending = tuple[int, Any, ReplyHandle[Any] | ValueError]
"""The index of an item, the item, and its running request or the error that prevented the request."""


def _lines(job: Job[Any, Any], *, first: int) -> Iterator[tuple[str, bool]]:
    """Yield the output lines of the items from index `first` on; see `Job.line`."""
    queue: deque[_Pending] = deque()
    try:
        for index, item in islice(enumerate(job.reader()), first, None):
            while len(queue) >= job.concurrency:
                yield _wait_for_line(job, *queue.popleft())
            while (pending := _start(job, index, item)) is None:
                if queue:
                    yield _wait_for_line(job, *queue.popleft())
                else:
                    time.sleep(_RETRY_SECONDS)
            queue.append(pending)
        while queue:
            yield _wait_for_line(job, *queue.popleft())
    finally:
        for _, _, handle in queue:
            if not isinstance(handle, ValueError):
                handle.cancel()


def _start(job: Job[Any, Any], index: int, item: Any) -> _Pending | None:
    """Start the request of an item; return None if the queue is full."""
    try:
        return index, item, job.start(index, item)
    except QueueFull:
        return None
    except ValueError as error:
        return index, item, error


def _wait_for_line(
    job: Job[Any, Any], index: int, item: Any, handle: ReplyHandle[Any] | ValueError
) -> tuple[str, bool]:
    try:
        if isinstance(handle, ValueError):
            raise handle
        return job.line(item, handle.result())
    except ValueError as error:
        if not job.read_options.skips:
            position = f"{source_name(job.input)}: {job.noun} {index + 1}"
            raise ValueError(f"{position}: {error}, or continue with {name_option('on_error', 'skip')}") from error
        return job.error_line(item, str(error)), False

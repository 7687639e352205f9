"""Jobs: pieces, results, errors, cancellation and deadlines, seen from an event loop."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from convmodel.serving.thread_bridge import AsyncJob, coalesce, run_job


class Words:
    """A handle whose result is its text so far, in words that come one by one.

    Args:
        words: the words.
        seconds: the time before each word.
    """

    def __init__(self, *words: str, seconds: float = 0.0) -> None:
        self._words, self._seconds = words, seconds
        self._done: list[str] = []
        self.cancelled = threading.Event()

    def __iter__(self) -> Iterator[str]:
        for word in self._words:
            if self.cancelled.wait(self._seconds):
                return
            self._done.append(word)
            yield word

    def cancel(self) -> None:
        self.cancelled.set()

    def result(self) -> str:
        return "".join(self._done)


def start(job: AsyncJob[Any], handle: Any, **options: Any) -> list[float | None]:
    """Runs a job in a thread, and returns the list to which its duration is added at the end."""
    durations: list[float | None] = []
    arguments: dict[str, Any] = {"on_end": durations.append, "map_error": lambda error: error, "pause": 0.0, **options}
    begin = handle if callable(handle) else lambda: handle
    threading.Thread(target=run_job, args=(job, begin, str.upper), kwargs=arguments).start()
    return durations


def test_the_pieces_of_a_job_come_before_its_converted_result() -> None:
    async def run() -> None:
        job: AsyncJob[str] = AsyncJob()
        durations = start(job, Words("a", "b", "c", seconds=0.01))
        await job.started
        assert "".join([piece async for piece in job]) == "abc"
        assert await job.result() == "ABC" and job.over and job.precomputed is None
        assert len(durations) == 1 and durations[0] is not None and durations[0] >= 0.03

    asyncio.run(run())


def test_an_error_at_the_start_is_raised_unchanged_and_a_later_one_mapped() -> None:
    def broken() -> Words:
        raise ValueError("no")

    class Breaking(Words):
        def result(self) -> str:
            raise KeyError("secret")

    async def run() -> None:
        job: AsyncJob[str] = AsyncJob()
        durations = start(job, broken)
        with pytest.raises(ValueError, match="no"):
            await job.started
        assert durations == [None]
        job = AsyncJob()
        start(job, Breaking("a"), map_error=lambda error: RuntimeError(type(error).__name__))
        with pytest.raises(RuntimeError, match="KeyError"):
            await job.result()

    asyncio.run(run())


@pytest.mark.parametrize("early", [True, False])
def test_a_cancelled_job_has_its_text_so_far(early: bool) -> None:
    async def run() -> None:
        job: AsyncJob[str] = AsyncJob()
        if early:
            job.cancel()
        handle = Words("a", "b", seconds=0.02 if early else 0.0)
        waiting = Words("a", *["b"] * 1000, seconds=0.05)
        start(job, handle if early else waiting)
        if not early:
            assert await anext(aiter(job)) == "a"
            job.cancel()
        assert await job.result() in (("",) if early else ("A", "AB"))

    asyncio.run(run())


def test_a_job_that_is_not_over_in_time_is_cancelled_and_raises() -> None:
    async def run() -> None:
        job: AsyncJob[str] = AsyncJob()
        handle = Words(*["a"] * 1000, seconds=0.05)
        start(job, handle)
        await job.started
        job.end_by(asyncio.get_running_loop().time() + 0.02, lambda: TimeoutError("late"))
        with pytest.raises(TimeoutError, match="late"):
            await job.result()
        assert handle.cancelled.is_set()

    asyncio.run(run())


def test_a_completed_job_has_a_result_and_no_pieces() -> None:
    async def run() -> None:
        job = AsyncJob.completed("a")
        job.cancel()
        assert [piece async for piece in job] == [] and await job.result() == job.precomputed == "a"

    asyncio.run(run())


def test_only_pieces_that_are_not_yet_available_are_waited_for() -> None:
    began = time.monotonic()
    assert list(coalesce(Words(*"abcdef"), 10.0)) == list("abcdef")
    assert time.monotonic() - began < 5
    began = time.monotonic()
    assert list(coalesce(Words(*"abc", seconds=0.01), 0.1)) == list("abc")
    assert time.monotonic() - began >= 0.2

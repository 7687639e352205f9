"""Jobs that run blocking generation in a worker thread and are awaited in an asyncio event loop."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import Any, Generic, TypeVar, cast

from convmodel.responders.protocol import ReplyHandle

READY = 0.0005
"""Seconds. If the next piece arrives within this time, it counts as already available when it was requested."""

Result = TypeVar("Result")
Output = TypeVar("Output")
T = TypeVar("T")


class AsyncJob(Generic[Result]):
    """A request to a model that runs in a worker thread, awaited in the event loop that created the job.

    Iterating over a job yields the pieces of its text, once; pieces that have arrived since the last step are joined.
    Iteration raises the same errors as `result`. A caller that stops waiting must call `cancel`, for example in
    `finally`.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = self._loop.create_future()
        self._result: asyncio.Future[Result] = self._loop.create_future()
        self._pieces: deque[str] = deque()
        self._changed = asyncio.Event()
        self._wake_scheduled = False
        self._handle: ReplyHandle[Any] | None = None
        self._cancelled = False
        self._deadline: asyncio.TimerHandle | None = None
        self.precomputed: Result | None = None
        """The result of a job made by `completed`; None for all other jobs."""

    @classmethod
    def completed(cls, result: Result) -> "AsyncJob[Result]":
        """Return a job that has already ended, with a given result and no pieces."""
        job = cls()
        job.precomputed = result
        job.started.set_result(None)
        job._result.set_result(result)
        return job

    @property
    def over(self) -> bool:
        return self._result.done()

    def cancel(self) -> None:
        """Stop the job; its result is the text generated so far. Thread-safe and idempotent."""
        self._cancelled = True
        if self._handle is not None and not self.over:
            self._handle.cancel()

    def end_by(self, moment: float, error: Callable[[], Exception]) -> None:
        """Set a deadline, at which a job that has not ended is cancelled and its result becomes the error `error()`.

        Args:
            moment: time of the event loop's clock in seconds.
            error: function that returns the exception.
        """
        if not self.over:
            self._deadline = self._loop.call_at(moment, self._expire, error)

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            text = "".join(self._pieces.popleft() for _ in range(len(self._pieces)))
            if text:
                yield text
            elif self._result.done():
                self._result.result()
                return
            else:
                self._changed.clear()
                await self._changed.wait()

    async def result(self) -> Result:
        """Wait for the end of the job and return its result.

        Raises:
            APIError: 504 after the deadline, 500 for an unexpected exception, 503 while the server is shutting down.
        """
        return await asyncio.shield(self._result)

    def then(self, step: Callable[[], Coroutine[Any, Any, T]]) -> "asyncio.Task[T]":
        """Run a coroutine when the job has ended, also with an error; return its task, which need not be awaited."""

        async def run() -> T:
            await asyncio.wait([self._result])
            return await step()

        task = self._loop.create_task(run())
        # Mark the exception as retrieved, so that asyncio logs no warning if no caller awaits the task any more.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return task

    # Called in the worker thread

    def attach(self, handle: ReplyHandle[Any]) -> None:
        """Report that the request has started; `handle` cancels it."""
        self._handle = handle
        if self._cancelled:
            handle.cancel()
        self._call_in_loop(self._start)

    def put(self, piece: str) -> None:
        self._pieces.append(piece)
        if not self._wake_scheduled:
            self._wake_scheduled = True
            self._call_in_loop(self._wake)

    def end(self, result: "Result | None", error: BaseException | None) -> None:
        """Report the end of the job with its result or its error."""
        self._call_in_loop(self._end, result, error)

    def _call_in_loop(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and no caller waits for the job
            self._loop.call_soon_threadsafe(function, *arguments)

    # Called in the event loop

    def _start(self) -> None:
        if not self.started.done():
            self.started.set_result(None)

    def _wake(self) -> None:
        self._wake_scheduled = False
        self._changed.set()

    def _end(self, result: "Result | None", error: BaseException | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if not self.started.done():
            assert error is not None
            self.started.set_exception(error)
            self._result.cancel()
        elif not self.over and error is not None:
            self._result.set_exception(error)
            self._result.exception()  # mark as retrieved, so that asyncio logs no warning if no caller awaits it
        elif not self.over:
            self._result.set_result(cast(Result, result))
        self._changed.set()

    def _expire(self, error: Callable[[], Exception]) -> None:
        self.cancel()
        self._end(None, error())


def run_job(
    job: AsyncJob[Result],
    start: Callable[[], ReplyHandle[Output]],
    convert: Callable[[Output], Result],
    *,
    count: Callable[[Output], None] | None = None,
    on_end: Callable[[float | None], None],
    map_error: Callable[[Exception], Exception],
    pause: float | None,
) -> None:
    """Run a job from start to end, in a worker thread. `job.started` raises the errors of `start` unchanged.

    Args:
        job: the job to run; its start, pieces and end are reported to it.
        start: function that starts the request to the model.
        convert: function from the model's output to the result of the job.
        count: function that counts the model's output in the metrics; called before `convert`.
        on_end: function that is always called at the end, with the duration in seconds, or None if the request never
            started.
        map_error: function that translates an exception raised after the start to the exception of `job.result`.
        pause: seconds for which pieces are collected, see `coalesce`; None if no caller iterates over the pieces.
    """
    started_at: float | None = None
    result: Result | None = None
    error: Exception | None = None
    try:
        requested_at = time.monotonic()
        handle = start()
        started_at = requested_at
        job.attach(handle)
        if pause is not None:
            for piece in coalesce(handle, pause):
                job.put(piece)
        output = handle.result()
        if count is not None:
            count(output)
        result = convert(output)
    except Exception as raised:  # reported to the job
        error = raised if started_at is None else map_error(raised)
    finally:
        on_end(None if started_at is None else time.monotonic() - started_at)
        job.end(result, error)


def coalesce(pieces: Iterable[str], pause: float) -> Iterator[str]:
    """Yield pieces of a text, and sleep `pause` seconds before a piece that was not yet available when requested.

    The first piece is yielded immediately. During the sleep, further pieces collect in the queue of `pieces` and wake
    no thread. Otherwise the threads of all clients would wake for every token, and compete for the interpreter lock
    with the thread that generates.
    """
    requested_at = time.monotonic()
    first = True
    for piece in pieces:
        if pause and not first and time.monotonic() - requested_at > READY:
            time.sleep(pause)
        first = False
        yield piece
        requested_at = time.monotonic()

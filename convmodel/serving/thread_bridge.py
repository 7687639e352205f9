"""What blocks in, what can be awaited out: each thing that is being made has a thread, and wakes the loop seldom."""

import asyncio
import contextlib
import contextvars
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar, cast

READY = 0.0005
"""Seconds within which a piece was there already."""


class WorkHandle(Protocol):
    """What is being made: a `ReplyHandle`, or a document."""

    def __iter__(self) -> Iterator[str]:
        """Pieces."""

    def cancel(self) -> None:
        """Ends it now; from any thread, more than once."""


AnyWork = TypeVar("AnyWork", bound=WorkHandle)
Result = TypeVar("Result")


class Threads:
    """Threads of our own, so that what waits for a model holds up nothing else.

    Args:
        count: as many things may be made at once.
    """

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="convmodel serving")

    async def begin(
        self,
        start: Callable[[], AnyWork],
        result: Callable[[AnyWork], Result],
        *,
        over: Callable[[float | None], None],
        told: Callable[[Exception], Exception],
        pieces: bool,
        pause: float = 0.0,
    ) -> "ThreadedJob[Result]":
        """Begins something and returns when it has begun.

        Args:
            start: begins it, in a thread.
            result: waits for its end, in the same thread.
            over: called in the end, whatever happens, with the seconds that it took, or None where it never began.
            told: makes of what goes wrong after the beginning what is raised; called in the thread.
            pieces: whether anybody reads them.
            pause: seconds in which pieces are gathered, after the first.

        Raises:
            Exception: whatever `start` raises.
        """
        running: ThreadedJob[Result] = ThreadedJob(asyncio.get_running_loop())
        here = contextvars.copy_context()  # the request's id, for what is logged in the thread
        try:
            self._pool.submit(here.run, _pump, running, start, result, over, told, pause if pieces else None)
        except RuntimeError:  # it is closed
            over(None)
            raise
        try:
            await running.begun
        except BaseException:
            running.stop()
            raise
        return running

    def close(self) -> None:
        """Waits for what is being made; the next `begin` is a RuntimeError."""
        self._pool.shutdown(cancel_futures=True)


class ThreadedJob(Generic[Result]):
    """Something that is being made, as an event loop sees it; belongs to the loop that began it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.begun: asyncio.Future[None] = loop.create_future()
        self._over: asyncio.Future[Result] = loop.create_future()
        self._pieces: deque[str] = deque()
        self._news = asyncio.Event()
        self._rung = False
        self._work: WorkHandle | None = None
        self._stopped = False
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.done()

    def stop(self) -> None:
        """Ends it now; what was made so far is the result. From any thread."""
        self._stopped = True
        if self._work is not None:
            self._work.cancel()

    def end_by(self, moment: float, error: Callable[[], Exception]) -> None:
        """Ends it at a moment by the loop's clock, if it is not over: whoever waits for it is then told of an error."""
        if not self.over:
            self._deadline = self._loop.call_at(moment, self._expire, error)

    async def pieces(self) -> AsyncIterator[str]:
        """Pieces, those that came together joined. Raises what went wrong."""
        while True:
            text = "".join(self._pieces.popleft() for _ in range(len(self._pieces)))
            if text:
                yield text
            elif self._over.done():
                self._over.result()
                return
            else:
                self._news.clear()
                await self._news.wait()

    async def result(self) -> Result:
        """Waits for the end. Raises what went wrong."""
        return await asyncio.shield(self._over)

    # From the thread

    def works(self, work: WorkHandle) -> None:
        """It has begun."""
        self._work = work
        if self._stopped:
            work.cancel()
        self._tell(self._begun)

    def give(self, piece: str) -> None:
        """A piece has come."""
        self._pieces.append(piece)
        if not self._rung:
            self._rung = True
            self._tell(self._ring)

    def end(self, result: "Result | None", error: BaseException | None) -> None:
        """It is over."""
        self._tell(self._end, result, error)

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            self._loop.call_soon_threadsafe(what, *arguments)

    # In the loop

    def _begun(self) -> None:
        if not self.begun.done():
            self.begun.set_result(None)

    def _ring(self) -> None:
        self._rung = False
        self._news.set()

    def _end(self, result: "Result | None", error: BaseException | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if not self.begun.done():
            assert error is not None
            self.begun.set_exception(error)
            self._over.cancel()
        elif error is not None:
            self._fail(error)
        elif not self.over:
            self._over.set_result(cast(Result, result))
        self._news.set()

    def _expire(self, error: Callable[[], Exception]) -> None:
        self.stop()
        self._fail(error())
        self._news.set()

    def _fail(self, error: BaseException) -> None:
        if not self.over:
            self._over.set_exception(error)
            self._over.exception()  # whoever stopped listening need not be warned of it


def _pump(
    running: ThreadedJob[Result],
    start: Callable[[], AnyWork],
    result: Callable[[AnyWork], Result],
    over: Callable[[float | None], None],
    told: Callable[[Exception], Exception],
    pause: float | None,
) -> None:
    """Makes something from its beginning to its end."""
    began: float | None = None
    found: Result | None = None
    error: Exception | None = None
    try:
        asked = time.monotonic()
        work = start()
        began = asked
        running.works(work)
        if pause is not None:
            for piece in coalesce(work, pause):
                running.give(piece)
        found = result(work)
    except Exception as wrong:  # whoever asked is told
        error = wrong if began is None else told(wrong)
    finally:
        over(None if began is None else time.monotonic() - began)
        running.end(found, error)


def coalesce(pieces: WorkHandle, pause: float) -> Iterator[str]:
    """The pieces, and after each for which there was a wait but the first, a pause: what comes meanwhile wakes nobody.

    Threads that are woken for every token of every client take turns with the one that writes.
    """
    asked, first = time.monotonic(), True
    for piece in pieces:
        if pause and not first and time.monotonic() - asked > READY:
            time.sleep(pause)
        first = False
        yield piece
        asked = time.monotonic()

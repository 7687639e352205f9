"""What is to be made in, the same awaited out: its place, its deadline, and its end when the server ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic

from convmodel.errors import QueueFull
from convmodel.serving.errors import APIError, internal_error
from convmodel.serving.limits import ConcurrencyLimit, too_many_requests
from convmodel.serving.logs import log_defect
from convmodel.serving.settings import Settings
from convmodel.serving.thread_bridge import AnyWork, Result, ThreadedJob, Threads

logger = logging.getLogger(__name__)


class RejectedBeforeStart(Exception):
    """Raised by what begins something, when there is nothing to be made; passed on as it is."""


class JobRunner:
    """Begins what is being made, whatever it is, and ends it when the server ends.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.places = ConcurrencyLimit(
            running=settings.max_running,
            total=settings.max_open,
            per_owner=settings.open_per_key,
            per_user=settings.open_per_user,
        )
        self._threads = Threads(settings.max_open)
        self._running: set[ThreadedJob[Any]] = set()
        self.closing = False

    def take(self, count: int, *, owner: str, user: str | None = None) -> None:
        """Takes places for so many things, all or none; each `begin` gives one back in the end.

        Raises:
            Refusal: 429 when there are not so many, 503 when the server is ending.
        """
        if self.closing:
            raise shutting_down()
        self.places.take(count, owner=owner, user=user)

    def give_back(self, count: int, *, owner: str, user: str | None = None) -> None:
        """Gives places back for which nothing was begun."""
        for _ in range(count):
            self.places.free(owner=owner, user=user)

    async def begin(
        self,
        start: Callable[[], AnyWork],
        result: Callable[[AnyWork], Result],
        *,
        owner: str,
        user: str | None = None,
        pieces: bool = True,
    ) -> "Made[Result]":
        """Begins something for which a place was taken.

        Args:
            start, result, pieces: see `Threads.begin`.
            owner, user: who took the place.

        Raises:
            NotBegun: whatever kind of it `start` raises.
            Refusal: 400, 429, 500, 503 or 504.
        """
        until = asyncio.get_running_loop().time() + self.settings.deadline
        beginning = asyncio.timeout_at(until)
        try:
            async with beginning:
                running = await self._threads.begin(
                    start,
                    result,
                    over=lambda seconds: self.places.free(owner=owner, user=user, seconds=seconds),
                    told=self._told,
                    pieces=pieces,
                    pause=self.settings.pause,
                )
        except (RejectedBeforeStart, APIError):
            raise
        except QueueFull:
            seconds = self.places.wait()
            raise too_many_requests(
                "the model has too much to do; try again later", code="queue_full", seconds=seconds
            ) from None
        except (TypeError, ValueError) as error:
            raise APIError(400, str(error), code="invalid_value") from None
        except Exception as error:
            raise (deadline_exceeded() if beginning.expired() else self._told(error)) from None
        self._running = {each for each in self._running if not each.over} | {running}
        if self.closing:
            running.stop()
        running.end_by(until, deadline_exceeded)
        return Made(running)

    def _told(self, error: Exception) -> Exception:
        """What a client may know of what went wrong."""
        if isinstance(error, APIError):
            return error
        if self.closing:
            return shutting_down()
        log_defect(logger, error, texts=self.settings.log_texts)
        return internal_error()

    async def end(self, grace: float) -> None:
        """Takes nothing new, gives what is being made so many seconds, and then stops it."""
        self.closing = True
        loop = asyncio.get_running_loop()
        until = loop.time() + grace
        while self.places.open and loop.time() < until:
            await asyncio.sleep(0.02)
        for running in self._running:
            running.stop()

    def close(self) -> None:
        """Stops what is being made, and waits for the threads."""
        self.closing = True
        for running in self._running:
            running.stop()
        self._threads.close()


class Made(Generic[Result]):
    """Something that is being made.

    Args:
        running: the same, as the threads know it.
    """

    def __init__(self, running: ThreadedJob[Result]) -> None:
        self._running = running

    def pieces(self) -> AsyncIterator[str]:
        """Pieces; raises as `result`."""
        return self._running.pieces()

    async def result(self) -> Result:
        """Waits for the end.

        Raises:
            Refusal: 504 after the deadline, 500 when something went wrong, 503 when the server is ending.
        """
        return await self._running.result()

    def stop(self) -> None:
        """Ends it; what was made so far is the result."""
        self._running.stop()


def deadline_exceeded() -> APIError:
    """For what was not over before its deadline."""
    return APIError(504, "it took longer than is allowed; ask for less", code="deadline")


class CompletedJob(Generic[Result]):
    """Something that need not be made; to whoever waits for it no different from `Made`.

    Args:
        found: what is there.
    """

    def __init__(self, found: Result) -> None:
        self.found = found

    async def pieces(self) -> AsyncIterator[str]:
        """There are none."""
        nothing: tuple[str, ...] = ()
        for piece in nothing:
            yield piece

    async def result(self) -> Result:
        """It is there."""
        return self.found

    def stop(self) -> None:
        """There is nothing to end."""


def shutting_down() -> APIError:
    """For whoever comes while the server ends."""
    return APIError(503, "the server is ending; try again soon", code="closing", headers={"Retry-After": "5"})

"""Run generation jobs for requests: admission, deadlines, error mapping and shutdown."""

import asyncio
import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from convmodel.errors import QueueFull
from convmodel.responders.protocol import ReplyHandle
from convmodel.serving.errors import APIError, internal_error
from convmodel.serving.limits import ConcurrencyLimit, too_many_requests
from convmodel.serving.logs import log_defect
from convmodel.serving.settings import Settings
from convmodel.serving.thread_bridge import AsyncJob, Output, Result, run_job

logger = logging.getLogger(__name__)


class RejectedBeforeStart(Exception):
    """Raised by the `start` of a job when its result is known without any work.

    Args:
        result: the result of the job.
    """

    def __init__(self, result: Any) -> None:
        self.result = result


class JobRunner:
    """Admits and starts the jobs of a server, and ends them when the server shuts down.

    `limit` is the only place where requests over HTTP are admitted. It counts a job until its thread has ended.

    Args:
        settings: the server's limits.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limit = ConcurrencyLimit(
            running=settings.max_running,
            total=settings.max_open,
            per_owner=settings.open_per_key,
            per_user=settings.open_per_user,
        )
        # A pool of its own, with a thread for each open job, so that blocked jobs delay no other work of the loop.
        self._pool = ThreadPoolExecutor(settings.max_open, thread_name_prefix="convmodel serving")
        self._running: set[AsyncJob[Any]] = set()
        self.closing = False

    def acquire(self, count: int, *, owner: str, user: str | None = None) -> None:
        """Reserve `count` jobs, all or none. Each `start` releases one at its end.

        Raises:
            APIError: 429 when fewer are free, 503 while the server is shutting down.
        """
        if self.closing:
            raise shutting_down()
        self.limit.acquire(count, owner=owner, user=user)

    def release(self, count: int, *, owner: str, user: str | None = None) -> None:
        """Release reserved jobs that were never started."""
        for _ in range(count):
            self.limit.release(owner=owner, user=user)

    async def start(
        self,
        start: Callable[[], ReplyHandle[Output]],
        convert: Callable[[Output], Result],
        *,
        owner: str,
        user: str | None = None,
        pieces: bool = True,
    ) -> AsyncJob[Result]:
        """Start a job that was reserved by `acquire`, and return it once its request has started.

        Args:
            start: starts the request, in a worker thread. May raise RejectedBeforeStart.
            convert: makes the job's result of the request's, in the same thread.
            owner, user: the ones given to `acquire`.
            pieces: whether the caller iterates over the job.

        Raises:
            APIError: 400, 429, 500, 503 or 504.
        """
        deadline = asyncio.get_running_loop().time() + self.settings.deadline
        timeout = asyncio.timeout_at(deadline)
        try:
            async with timeout:
                job = await self._submit(
                    start,
                    convert,
                    on_end=lambda seconds: self.limit.release(owner=owner, user=user, seconds=seconds),
                    pause=self.settings.pause if pieces else None,
                )
        except RejectedBeforeStart as rejection:
            return AsyncJob.completed(rejection.result)
        except Exception as error:
            raise self._start_error(error, expired=timeout.expired()) from None
        self._running = {running for running in self._running if not running.over} | {job}
        if self.closing:
            job.cancel()
        job.end_by(deadline, deadline_exceeded)
        return job

    async def _submit(
        self,
        start: Callable[[], ReplyHandle[Output]],
        convert: Callable[[Output], Result],
        *,
        on_end: Callable[[float | None], None],
        pause: float | None,
    ) -> AsyncJob[Result]:
        """Run a job in a thread of the pool and wait until it has started; raises the errors of `start` unchanged."""
        job: AsyncJob[Result] = AsyncJob()
        context = contextvars.copy_context()  # holds the request id, for log lines of the thread
        run = partial(run_job, job, start, convert, on_end=on_end, map_error=self._map_error, pause=pause)
        try:
            self._pool.submit(context.run, run)
        except RuntimeError:  # the pool is closed
            on_end(None)
            raise
        try:
            await job.started
        except BaseException:
            job.cancel()
            raise
        return job

    def _start_error(self, error: Exception, *, expired: bool) -> Exception:
        """Convert an exception raised while a job was starting into the one that the client gets."""
        if isinstance(error, APIError):
            return error
        if isinstance(error, QueueFull):  # a responder with a limit of its own
            return too_many_requests(
                "the model has too much to do; try again later", code="queue_full", seconds=self.limit.retry_after()
            )
        if isinstance(error, TypeError | ValueError):
            return APIError(400, str(error), code="invalid_value")
        return deadline_exceeded() if expired else self._map_error(error)

    def _map_error(self, error: Exception) -> Exception:
        """Convert an exception of a job into the one that the client gets; a defect is logged."""
        if isinstance(error, APIError):
            return error
        if self.closing:
            return shutting_down()
        log_defect(logger, error, texts=self.settings.log_texts)
        return internal_error()

    async def shut_down(self, grace: float) -> None:
        """Reject new jobs, give the running ones `grace` seconds to end, then cancel them."""
        self.closing = True
        loop = asyncio.get_running_loop()
        until = loop.time() + grace
        while self.limit.open and loop.time() < until:
            await asyncio.sleep(0.02)
        for job in self._running:
            job.cancel()

    def close(self) -> None:
        """Cancel the running jobs and wait for their threads."""
        self.closing = True
        for job in self._running:
            job.cancel()
        self._pool.shutdown(cancel_futures=True)


def deadline_exceeded() -> APIError:
    """Return the error for a job that did not end before its deadline."""
    return APIError(504, "it took longer than is allowed; ask for less", code="deadline")


def shutting_down() -> APIError:
    """Return the error for requests that arrive while the server is shutting down."""
    return APIError(503, "the server is ending; try again soon", code="closing", headers={"Retry-After": "5"})

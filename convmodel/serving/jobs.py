"""Jobs of models for HTTP requests: admission, deadlines, translation of errors, and shutdown."""

import asyncio
import contextvars
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from convmodel.errors import QueueFull
from convmodel.responders.protocol import DocumentGenerator, ReplyHandle, Responder
from convmodel.serving.errors import APIError, internal_error, unavailable
from convmodel.serving.limits import ConcurrencyLimit, too_many_requests
from convmodel.serving.logs import log_defect
from convmodel.serving.safety.policy import Policy
from convmodel.serving.settings import Settings
from convmodel.serving.thread_bridge import AsyncJob, Output, Result, run_job

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from convmodel.serving.document_jobs import DocumentRequest
    from convmodel.serving.reply_jobs import ReplyRequest

RequestT = TypeVar("RequestT", bound="ReplyRequest | DocumentRequest")


class RejectedBeforeStart(Exception):
    """Raised by the function that starts a job, if the job's `result` is known without calling the model."""

    def __init__(self, result: Any) -> None:
        self.result = result


class JobRunner:
    """Admits and starts the jobs of a server, and ends them when the server shuts down.

    All jobs of HTTP requests are admitted by `limit`. It counts a job until the job's thread has ended.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limit = ConcurrencyLimit(
            running=settings.max_running,
            total=settings.max_open,
            per_owner=settings.open_per_key,
            per_user=settings.open_per_user,
        )
        # A separate pool with a thread for each open job: blocked jobs must not delay the loop's default executor.
        self._pool = ThreadPoolExecutor(settings.max_open, thread_name_prefix="convmodel serving")
        self._running: set[AsyncJob[Any]] = set()
        self.closing = False

    async def start(
        self,
        starts: Sequence[Callable[[], ReplyHandle[Output]]],
        convert: Callable[[Output], Result],
        *,
        count: Callable[[Output], None] | None = None,
        owner: str,
        user: str | None = None,
        pieces: bool = True,
    ) -> list[AsyncJob[Result]]:
        """Start jobs, all or none, and return them when the model has accepted all of their requests.

        Args:
            starts: functions that each start one request to the model; called in a worker thread. They may raise
                RejectedBeforeStart.
            convert: function from the model's output to the result of the job; called in the same thread.
            count: function that counts the model's output in the metrics; called before `convert`.
            owner: name of the API key.
            user: end user of the key, if the request names one.
            pieces: whether the caller iterates over the pieces of the jobs.

        Raises:
            APIError: 400 for too many or invalid requests; 429 if too many jobs are open; 503 while the server is
                shutting down; 504 if the deadline passes before the start; 500 for other exceptions.
        """
        if self.closing:
            raise shutting_down()
        self.limit.acquire(len(starts), owner=owner, user=user)
        release = partial(self.limit.release, owner=owner, user=user)
        pause = self.settings.pause if pieces else None
        run = partial(run_job, convert=convert, count=count, on_end=release, map_error=self._map_error, pause=pause)
        jobs: list[AsyncJob[Result]] = []
        try:
            for start in starts:
                jobs.append(await self._start(partial(run, start=start), release))
        except BaseException:
            for job in jobs:
                job.cancel()
            for _ in starts[len(jobs) + 1 :]:
                release(None)
            raise
        return jobs

    async def _start(
        self, run: Callable[[AsyncJob[Result]], None], release: Callable[[float | None], None]
    ) -> AsyncJob[Result]:
        """Run a job in a thread of the pool, and return it when its request to the model has started."""
        job: AsyncJob[Result] = AsyncJob()
        context = contextvars.copy_context()  # contains the request id, for the log lines of the thread
        try:
            self._pool.submit(context.run, run, job)
        except RuntimeError as closed:
            release(None)
            raise self._map_error(closed) from None
        deadline = asyncio.get_running_loop().time() + self.settings.deadline
        timeout = asyncio.timeout_at(deadline)
        try:
            async with timeout:
                await job.started
        except RejectedBeforeStart as rejection:
            return AsyncJob.completed(rejection.result)
        except BaseException as error:
            job.cancel()
            if isinstance(error, Exception):
                raise self._start_error(error, expired=timeout.expired()) from error
            raise
        self._running = {running for running in self._running if not running.over} | {job}
        if self.closing:
            job.cancel()
        job.end_by(deadline, deadline_exceeded)
        return job

    def _start_error(self, error: Exception, *, expired: bool) -> Exception:
        """Translate an exception raised while a job was starting into the error that the client receives."""
        if isinstance(error, QueueFull):  # of a responder that limits its queue itself
            message = "the model has too much to do; try again later"
            return too_many_requests(message, code="queue_full", seconds=self.limit.retry_after())
        if isinstance(error, TypeError | ValueError):
            return APIError(400, str(error), code="invalid_value")
        return deadline_exceeded() if expired else self._map_error(error)

    def _map_error(self, error: Exception) -> Exception:
        """Translate an exception of a job into the error that the client receives; log unexpected exceptions."""
        if isinstance(error, APIError):
            return error
        if self.closing:
            return shutting_down()
        log_defect(logger, error, texts=self.settings.log_texts)
        return internal_error()

    async def shut_down(self, grace: float) -> None:
        """Reject new jobs, wait up to `grace` seconds for the open jobs to end, then cancel the rest."""
        self.closing = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        while self.limit.open and loop.time() < deadline:
            await asyncio.sleep(0.02)
        self._cancel()

    def close(self) -> None:
        """Cancel the running jobs and wait for their threads."""
        self.closing = True
        self._cancel()
        self._pool.shutdown(cancel_futures=True)

    def _cancel(self) -> None:
        for job in self._running:
            job.cancel()


class JobService(ABC, Generic[RequestT, Output, Result]):
    """Base of classes that start one type of request as jobs, count them, and check their texts against a policy.

    Args:
        generator: model whose `start` is called with a request's `arguments`, in a worker thread.
        jobs: runs the jobs.
        policy: checks inputs and outputs; None allows all texts.
        count: function that counts the output of a request in the metrics.
        convert: function from an output that needs no check to the result of a job.
    """

    def __init__(
        self,
        generator: Responder | DocumentGenerator,
        jobs: JobRunner,
        policy: Policy | None,
        *,
        count: Callable[[Output], None],
        convert: Callable[[Output], Result],
    ) -> None:
        self._generator = generator
        self._jobs = jobs
        self._policy = policy
        self._count = count
        self._convert = convert

    async def start(
        self, requests: Sequence[RequestT], *, owner: str, user: str | None = None, pieces: bool = True
    ) -> list[AsyncJob[Result]]:
        """Start requests as jobs, all or none.

        The job of a request that the policy blocks is already completed. If the policy checks outputs, the jobs have no
        pieces, since the whole text is checked before any part is sent. See `JobRunner.start` for the arguments.

        Raises:
            APIError: 400 for unsupported inputs or options; for others, see `JobRunner.start`.
        """
        policy = self._policy
        begin: Callable[..., Any] = self._generator.start
        starts: list[Callable[[], ReplyHandle[Output]]] = [partial(begin, **request.arguments) for request in requests]
        convert = self._convert
        if policy is not None and policy.checks_input:
            pairs = zip(requests, starts, strict=True)
            starts = [partial(self._check_and_start, policy, request, start) for request, start in pairs]
        if policy is not None and policy.checks_output:
            convert = partial(self._check_output, policy)
            pieces = False
        return await self._jobs.start(starts, convert, count=self._count, owner=owner, user=user, pieces=pieces)

    # Called in the worker threads

    def _check_and_start(
        self, policy: Policy, request: RequestT, start: Callable[[], ReplyHandle[Output]]
    ) -> ReplyHandle[Output]:
        if (result := self._check_input(policy, request)) is not None:
            raise RejectedBeforeStart(result)
        return start()

    @abstractmethod
    def _check_input(self, policy: Policy, request: RequestT) -> Result | None:
        """Return the result of a request that the policy blocks; None if it allows the request."""

    @abstractmethod
    def _check_output(self, policy: Policy, output: Output) -> Result:
        """Return the result of an output: only the texts that the policy allows, or their replacement."""


def deadline_exceeded() -> APIError:
    """Return the error for a job that did not end before its deadline."""
    return APIError(504, "the request took longer than allowed; request less, such as fewer tokens", code="deadline")


def shutting_down() -> APIError:
    """Return the error for requests that arrive, or are still open, while the server is shutting down."""
    return unavailable("the server is shutting down; try again soon", "closing")

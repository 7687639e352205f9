"""Worker thread that computes replies one at a time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from convmodel.errors import QueueFull
from convmodel.models.devices import release_openmp_threads
from convmodel.responders.handles import ReplyFuture
from convmodel.responders.protocol import Load, Reply


class SingleWorker:
    """Worker thread that computes one reply at a time, so that a reply does not depend on other requests.

    Args:
        name: name of the thread, which is also used in error messages.
        max_waiting: maximum number of open requests; None for no limit.
    """

    def __init__(self, name: str, max_waiting: int | None = None) -> None:
        if max_waiting is not None and max_waiting < 1:
            raise ValueError(f"max_waiting={max_waiting}; it must be at least 1")
        self._name = name
        self._max_waiting = max_waiting
        self._open = 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"convmodel {name}")

    def submit(self, compute: Callable[[], Reply], future: ReplyFuture | None = None) -> ReplyFuture:
        """Queue the computation of a reply, and return the future that will hold it: `future`, or a new one if None.

        Raises QueueFull if too many requests are open, and RuntimeError after `close`.
        """
        future = future or ReplyFuture()
        with self._lock:
            if self._max_waiting is not None and self._open >= self._max_waiting:
                raise QueueFull(f"{self._open} requests are open, the maximum; try again later")
            self._open += 1
        try:
            work = self._pool.submit(self._run, compute, future)
        except RuntimeError:
            self._release()
            raise RuntimeError(f"the {self._name} is closed; make a new one") from None
        work.add_done_callback(lambda done: self._end(done, future))
        return future

    @property
    def load(self) -> Load:
        """Number of running requests, at most one, and of waiting requests."""
        with self._lock:
            running = min(self._open, 1)
            return Load(running, self._open - running)

    def close(self) -> None:
        """Wait for the running request, and end waiting ones with RuntimeError. Repeated calls have no effect."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, compute: Callable[[], Reply], future: ReplyFuture) -> None:
        if future.done:
            return
        try:
            future.set(compute())
        except Exception as error:  # fails this request; the thread continues with the next one
            future.set(error)
        finally:
            release_openmp_threads()  # idle threads would slow down the thread of a writer

    def _end(self, work: "Future[None]", future: ReplyFuture) -> None:
        self._release()
        if work.cancelled():
            future.set(RuntimeError(f"the {self._name} was closed before the reply was ready"))

    def _release(self) -> None:
        with self._lock:
            self._open -= 1

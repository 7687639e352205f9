"""Work in, its Reply in one piece out: for ways of replying that compare whole texts, in one thread of their own."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from convmodel.errors import QueueFull
from convmodel.models.devices import release_openmp_threads
from convmodel.responders.protocol import Candidate, Load, Reply

NOTHING = Reply((Candidate(""),), finish="cancelled")
"""What is there of a reply that was given up before it was known."""


class ReplyFuture:
    """A `ReplyHandle` whose reply somebody else makes. What comes first counts: the reply, an error, or `cancel`."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._came: Reply | Exception = NOTHING

    def __iter__(self) -> Iterator[str]:
        text = self.reply().text
        if text:
            yield text

    def cancel(self) -> None:
        self.come(NOTHING)

    def reply(self) -> Reply:
        self._over.wait()
        if isinstance(self._came, Exception):
            raise self._came
        return self._came

    @property
    def is_over(self) -> bool:
        """Whether it has come."""
        return self._over.is_set()

    def come(self, what: Reply | Exception) -> None:
        """Here it is; whatever comes later is forgotten."""
        with self._lock:
            if not self._over.is_set():
                self._came = what
                self._over.set()


class SingleWorker:
    """Makes replies one after the other, so that each is the same whatever else is asked for.

    Args:
        name: of the thread.
        max_waiting: how many may be asked for at a time; None is as many as come.
    """

    def __init__(self, name: str, max_waiting: int | None = None) -> None:
        if max_waiting is not None and max_waiting < 1:
            raise ValueError(f"max_waiting={max_waiting}; at least 1 must wait, if only for its turn")
        self._name, self._max_waiting, self._open = name, max_waiting, 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"convmodel {name}")

    def begin(self, make: Callable[[], Reply], into: ReplyFuture | None = None) -> ReplyFuture:
        """Has a reply made.

        Args:
            make: makes it, in the thread.
            into: where it comes; a new one when left out.

        Raises:
            QueueFull: when too many wait.
            RuntimeError: after `close`.
        """
        piece = into or ReplyFuture()
        with self._lock:
            if self._max_waiting is not None and self._open >= self._max_waiting:
                raise QueueFull(f"{self._open} requests are open, as many as are taken; try again later")
            self._open += 1
        try:
            future = self._pool.submit(self._work, make, piece)
        except RuntimeError:
            self._over()
            raise RuntimeError(f"the {self._name} is closed; make a new one") from None
        future.add_done_callback(lambda done: self._ended(done, piece))
        return piece

    @property
    def load(self) -> Load:
        """How many are being made, which is one at a time, and how many wait."""
        with self._lock:
            running = min(self._open, 1)
            return Load(running, self._open - running)

    def close(self) -> None:
        """Waits for what is being made, and fails what waits; twice is no error."""
        self._pool.shutdown(cancel_futures=True)

    def _work(self, make: Callable[[], Reply], piece: ReplyFuture) -> None:
        if piece.is_over:
            return
        try:
            piece.come(make())
        except Exception as error:  # whoever asked is told; the others go on
            piece.come(error)
        finally:
            release_openmp_threads()  # which would slow down the one that writes

    def _ended(self, done: "Future[None]", piece: ReplyFuture) -> None:
        self._over()
        if done.cancelled():
            piece.come(RuntimeError(f"the {self._name} was closed before the reply was there"))

    def _over(self) -> None:
        with self._lock:
            self._open -= 1

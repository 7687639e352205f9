"""Access to a store: synchronous for threads, asynchronous for event loops."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, text

from convmodel.responders.protocol import ClosesOnExit
from convmodel.serving.store import keys
from convmodel.serving.store.database import Database, Work
from convmodel.serving.store.errors import Unavailable

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

Operation = Callable[Concatenate[Connection, P], T]
"""A function that takes a connection with an open transaction, and further arguments."""

GROUP_SIZE = 64
"""Maximum number of writes in one commit of SQLite."""


class Store(ClosesOnExit):
    """Storage of conversations, API keys and idempotency records.

    The operations are functions in the modules `conversations`, `keys` and `idempotency`. Pass them to `read` or
    `write`, or in an event loop to `aread` or `awrite`.

    SQLite allows one writer at a time, and most of the time of a commit is spent waiting for the disk. All asynchronous
    writes that arrive during a commit therefore share the next commit (group commit). PostgreSQL groups the commits of
    several writers itself.

    Args:
        address: sqlite:///file, a path of a SQLite file, or postgresql+psycopg://...

    Raises:
        StoreError: if the store cannot be opened; see `open_engine`.

    Example:
        >>> import tempfile
        >>> from convmodel.serving.store import conversations
        >>> from convmodel.serving.store.records import ConversationSettings
        >>> with tempfile.TemporaryDirectory() as folder, Store(f"sqlite:///{folder}/store.db") as store:
        ...     tea = store.write(conversations.create, "me", about=ConversationSettings(title="Tea"))
        ...     store.read(conversations.load, "me", tea.id).about.title
        'Tea'
    """

    def __init__(self, address: str) -> None:
        self._database = Database(address)
        self._readers = ThreadPoolExecutor(3, thread_name_prefix="store-reader")
        self._writers = ThreadPoolExecutor(1 if self._database.sqlite else 5, thread_name_prefix="store-writer")
        self._queue: deque[tuple[Work[Any], Future[Any]]] = deque()
        self.unclean = True
        """Whether deleted text may remain in the file. True at first: the last process may have been killed."""

    def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a read-only operation, and return its result. Blocks; for use in threads. Raises `Unavailable`."""
        return self._database.read(lambda connection: operation(connection, *args, **kwargs))

    def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation in a transaction that is committed to disk, and return its result; see `Database.write`.

        Blocks; for use in threads.
        """
        return self._database.write(lambda connection: operation(connection, *args, **kwargs))

    async def aread(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `read` without blocking the event loop."""
        return await _run(self._readers, lambda: self.read(operation, *args, **kwargs))

    async def awrite(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `write` without blocking the event loop; a write that is cancelled before it starts is skipped."""
        future: Future[T] = Future()
        self._queue.append((lambda connection: operation(connection, *args, **kwargs), future))
        try:
            self._writers.submit(self._write_queued)
        except RuntimeError:
            if future.cancel():  # otherwise an earlier call of `_write_queued` has already begun this write
                raise Unavailable("the store is closed") from None
        return await asyncio.wrap_future(future)

    def _write_queued(self) -> None:
        """Commit queued writes: up to `GROUP_SIZE` in a group on SQLite, a single write on PostgreSQL.

        Each queued write submits one call; a call finds an empty queue if an earlier call has committed its write.
        """
        group: list[tuple[Work[Any], Future[Any]]] = []
        while self._queue and len(group) < (GROUP_SIZE if self._database.sqlite else 1):
            group.append(self._queue.popleft())
        pending = [(work, future) for work, future in group if future.set_running_or_notify_cancel()]
        outcomes = self._database.write_together([work for work, _ in pending])
        for (_, future), outcome in zip(pending, outcomes, strict=True):
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    async def clean(self, *, whole: bool = False) -> None:
        """Wipe deleted text from the file of a SQLite store; see `Database.clean`.

        If text may remain, because the file is large and `whole` is false or because a reader uses the file, `unclean`
        stays true, and `retention.keep_purging` cleans the file later.
        """
        self.unclean = True
        try:
            self.unclean = not await _run(self._writers, lambda: self._database.clean(whole=whole))
        except Unavailable as error:
            logger.warning("deleted text is not wiped from the file yet: %s", error)

    def check(self) -> None:
        """Check that the database answers. Raises `Unavailable`."""
        self.read(lambda connection: connection.execute(text("SELECT 1")))

    def digests(self) -> Mapping[str, str]:
        """Return a mapping from the SHA-256 of each API key to its name, for `convmodel.serving.auth.Keys`."""
        return self.read(keys.digests)

    def close(self) -> None:
        """Wait for the work in progress, and close the database. Idempotent."""
        self._readers.shutdown()
        self._writers.shutdown()
        self._database.close()


async def _run(threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    try:
        future = threads.submit(call)
    except RuntimeError:
        raise Unavailable("the store is closed") from None
    return await asyncio.wrap_future(future)

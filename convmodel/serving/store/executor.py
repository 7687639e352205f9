"""Run database work for an event loop in threads; SQLite writes are committed in groups."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from convmodel.serving.store.database import Database, Work
from convmodel.serving.store.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")

GROUP_SIZE = 64
"""Maximum number of writes in one commit."""


class DatabaseExecutor:
    """Threads that use a database: several readers, and one writer for SQLite or several for PostgreSQL.

    SQLite allows one writer at a time, and a commit mostly waits for the disk. All writes that arrive during a commit
    therefore share the next commit (group commit). PostgreSQL groups commits itself.

    Args:
        database: the database; closed by `close`.
        readers: number of reading threads.
        writers: number of writing threads for PostgreSQL, and of cleaning threads.
    """

    def __init__(self, database: Database, *, readers: int = 3, writers: int = 5) -> None:
        self.database = database
        self.readers = ThreadPoolExecutor(readers, thread_name_prefix="store-reader")
        self.writers = ThreadPoolExecutor(writers, thread_name_prefix="store-writer")
        self._queue: queue.SimpleQueue[tuple[Work[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._group_writer: threading.Thread | None = None
        if database.sqlite:
            self._group_writer = threading.Thread(target=self._write_groups, name="store-writer", daemon=True)
            self._group_writer.start()

    async def write(self, work: Work[T]) -> T:
        """Run work in a transaction, and wait for the commit; work that is cancelled before it starts is skipped."""
        if self._group_writer is None:
            return await run(self.writers, self.database.write, work)
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                raise Unavailable("the store is closed")
            self._queue.put((work, future))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for the work in progress, and close the database. Idempotent."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        if self._group_writer is not None:
            self._queue.put(None)
            self._group_writer.join()
        self.readers.shutdown()
        self.writers.shutdown()
        self.database.close()

    def _write_groups(self) -> None:
        """Commit queued work in groups until None is queued."""
        is_open = True
        while is_open:
            batch = [self._queue.get()]
            while len(batch) < GROUP_SIZE and not self._queue.empty():  # this thread is the only consumer
                batch.append(self._queue.get())
            is_open = None not in batch
            _commit(self.database, [item for item in batch if item is not None])


async def run(threads: ThreadPoolExecutor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a thread of a pool, and wait for its result.

    Raises:
        Unavailable: if the pool is shut down.
    """
    try:
        future = threads.submit(call, *args, **kwargs)
    except RuntimeError:
        raise Unavailable("the store is closed") from None
    return await asyncio.wrap_future(future)


def _commit(database: Database, batch: list[tuple[Work[Any], Future[Any]]]) -> None:
    pending = [(work, future) for work, future in batch if future.set_running_or_notify_cancel()]
    if not pending:
        return
    for (_, future), outcome in zip(pending, database.write_together([work for work, _ in pending]), strict=True):
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

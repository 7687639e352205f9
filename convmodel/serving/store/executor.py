"""Work from an event loop in, its outcome out; the loop is never blocked."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from convmodel.serving.store.database import Database, Work
from convmodel.serving.store.errors import Unavailable

T = TypeVar("T")

TOGETHER = 64
"""The most pieces of work that share one commit."""


class Threads:
    """Threads that use a database: several that read; for SQLite one that writes, for PostgreSQL several.

    SQLite takes one writer at a time, and waiting for the disk is most of what a commit costs: whatever has come by the
    time the last commit is over shares the next one. PostgreSQL does the same itself.

    Args:
        database: is closed with the threads.
        readers: threads that read.
        writers: threads that write, where there may be several.
    """

    def __init__(self, database: Database, *, readers: int = 3, writers: int = 5) -> None:
        self.database = database
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-reader")
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="store-writer")
        self._works: queue.SimpleQueue[tuple[Work[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._writer: threading.Thread | None = None
        if database.sqlite:
            self._writer = threading.Thread(target=self._write, name="store-writer", daemon=True)
            self._writer.start()

    async def reading(self, work: Work[T]) -> T:
        """Does `Database.read` in a thread."""
        return await self._in(self._readers, self.database.read, work)

    async def writing(self, work: Work[T]) -> T:
        """Does `Database.write` in a thread; what is given up before it has begun is not done."""
        if self._writer is None:
            return await self._in(self._writers, self.database.write, work)
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                raise Unavailable("the store is closed")
            self._works.put((work, future))
        return await asyncio.wrap_future(future)

    async def cleaning(self, *, whole: bool = False) -> bool:
        """Does `Database.clean` in a thread."""
        return await self._in(self._writers, lambda _: self.database.clean(whole=whole), None)

    def close(self) -> None:
        """Ends when everything that was begun is done; twice is no error."""
        with self._closing:
            closed, self._closed = self._closed, True
        if closed:
            return
        if self._writer is not None:
            self._works.put(None)
            self._writer.join()
        self._readers.shutdown()
        self._writers.shutdown()
        self.database.close()

    async def _in(self, threads: ThreadPoolExecutor, call: Callable[[Any], T], work: Any) -> T:
        try:
            future = threads.submit(call, work)
        except RuntimeError:
            raise Unavailable("the store is closed") from None
        return await asyncio.wrap_future(future)

    def _write(self) -> None:
        """Takes what has come, commits it together, and tells everybody; until None comes."""
        going_on = True
        while going_on:
            batch = [self._works.get()]
            while len(batch) < TOGETHER and not self._works.empty():  # nobody else takes from it
                batch.append(self._works.get())
            going_on = None not in batch
            _commit(self.database, [item for item in batch if item is not None])


def _commit(database: Database, batch: list[tuple[Work[Any], Future[Any]]]) -> None:
    wanted = [(work, future) for work, future in batch if future.set_running_or_notify_cancel()]
    if not wanted:
        return
    for (_, future), outcome in zip(wanted, database.write_together([work for work, _ in wanted]), strict=True):
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

"""Transactions on the database of a store; database errors are translated to store errors."""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from convmodel.serving.store.engine import BUSY_SECONDS, open_engine, reason
from convmodel.serving.store.errors import KeyAlreadyUsed, Unavailable

T = TypeVar("T")

Work = Callable[[Connection], T]
"""A function that takes a connection with an open transaction. It may be called again after a failed attempt."""

MAX_REWRITE_BYTES = 32 * 2**20
"""Maximum size of a SQLite file that each `Database.clean` rewrites (about 0.2 s); `whole=True` rewrites any size."""

CLEANING_SECONDS = 1
"""Seconds that `Database.clean` waits for readers to finish; writers are blocked meanwhile."""


class Database:
    """A database with transactions; its methods are thread-safe.

    Args:
        address: see `open_engine`, also for the errors raised.
    """

    def __init__(self, address: str) -> None:
        self._engine = open_engine(address)
        self._writing = self._engine.execution_options(writes=True)
        self.sqlite = self._engine.dialect.name == "sqlite"
        # SQLite allows one writer at a time; a lock in this process is faster and fairer than SQLite's polling.
        self._turn = threading.Lock() if self.sqlite else contextlib.nullcontext()
        # All statements of a read must see one snapshot; a transaction of SQLite always provides one.
        self._reading = (
            self._engine if self.sqlite else self._engine.execution_options(isolation_level="REPEATABLE READ")
        )

    def read(self, work: Work[T]) -> T:
        """Call a read-only function with a snapshot of the database; raise Unavailable if the database fails."""
        with _store_errors(), self._reading.begin() as connection:
            return work(connection)

    def write(self, work: Work[T]) -> T:
        """Call a function in its own transaction; when `write` returns, the changes are on disk.

        Raises:
            KeyAlreadyUsed: if a unique name or key exists already.
            Unavailable: if the database fails; nothing is written.
        """
        with self._turn, _store_errors(), self._writing.begin() as connection:
            return work(connection)

    def write_together(self, works: Sequence[Work[T]]) -> "list[T | Exception]":
        """Call several functions in one transaction, and return the result or exception of each.

        Each function has its own savepoint, so that an exception undoes only its own changes. If the transaction as a
        whole fails, each function is called again in a transaction of its own.
        """
        if len(works) > 1:
            # One function may fail the whole transaction, for example by filling the disk.
            with contextlib.suppress(Exception), self._turn, _store_errors(), self._writing.begin() as connection:
                return [_run_in_savepoint(connection, work) for work in works]
        return [self._write_alone(work) for work in works]

    def clean(self, *, whole: bool = False) -> bool:
        """Wipe deleted text from the files of a SQLite store. Other databases need no cleaning.

        SQLite overwrites deleted rows with zeros (`secure_delete`), but the write-ahead log still contains them until a
        checkpoint truncates the log. When SQLite moves rows between pages, a copy can remain in the unused part of a
        page, for about one text in a thousand; only rewriting the file (VACUUM) removes such copies.

        Args:
            whole: rewrite the file even if it is larger than `MAX_REWRITE_BYTES`.

        Returns:
            Whether the file was rewritten and the log truncated, so that no deleted text remains.

        Raises:
            Unavailable: if the database fails.
        """
        if not self.sqlite:
            return True
        with self._turn, _store_errors(), contextlib.closing(self._engine.raw_connection()) as connection:
            cursor = connection.cursor()
            rewrite = whole or os.path.getsize(str(self._engine.url.database)) <= MAX_REWRITE_BYTES
            try:
                cursor.execute(f"PRAGMA busy_timeout = {CLEANING_SECONDS * 1000}")
                if rewrite:
                    cursor.execute("VACUUM")
                [busy, *_] = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
            return rewrite and not busy

    def close(self) -> None:
        """Close all connections to the database."""
        self._engine.dispose()

    def _write_alone(self, work: Work[T]) -> T | Exception:
        try:
            return self.write(work)
        except Exception as error:
            return error


def _run_in_savepoint(connection: Connection, work: Work[T]) -> T | Exception:
    try:
        with connection.begin_nested():
            return work(connection)
    except IntegrityError:
        return KeyAlreadyUsed("the name or key exists already")
    except SQLAlchemyError:
        raise
    except Exception as error:
        return error


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    """Translate database errors raised in the block into store errors.

    The original exception is not chained, since PostgreSQL quotes whole rows in its message.
    """
    try:
        yield
    except IntegrityError:
        raise KeyAlreadyUsed("the name or key exists already") from None
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise Unavailable(f"the store is not available: {reason(error)}") from None

"""Work on a connection in, what it came to out, once it is safe on the disk."""

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
"""Does something with a connection that stands in a transaction. It may be done again after a failure."""

REWRITTEN_AT_ONCE = 32 * 2**20
"""Bytes of a SQLite file that is rewritten after a deletion, in about 0.2 s; a larger one waits for `clean(all)`."""

CLEANING_SECONDS = 1
"""How long cleaning waits for others who read; writers wait for it meanwhile."""


class Database:
    """Transactions on a store; every method may be called from any thread.

    Args:
        address: see `open_engine`.
        connections: that are held open.

    Raises:
        StoreError: see `open_engine`.
    """

    def __init__(self, address: str, *, connections: int = 8) -> None:
        self._engine = open_engine(address, connections=connections)
        self._writing = self._engine.execution_options(writes=True)
        self.sqlite = self._engine.dialect.name == "sqlite"
        # SQLite takes one writer at a time; waiting for a lock of our own is quicker and fairer than its polling.
        self._turn = threading.Lock() if self.sqlite else contextlib.nullcontext()
        # Two statements of one reading see the same moment; SQLite's transactions always do.
        self._reading = (
            self._engine if self.sqlite else self._engine.execution_options(isolation_level="REPEATABLE READ")
        )

    def read(self, work: Work[T]) -> T:
        """Does work that changes nothing, on the state of one moment.

        Raises:
            Unavailable: when the database does not do it.
        """
        with _told(), self._reading.begin() as connection:
            return work(connection)

    def write(self, work: Work[T]) -> T:
        """Does work in a transaction of its own; it is on the disk when this returns, or else nothing of it is.

        Raises:
            Taken: for a name that is there already.
            Unavailable: when the database does not do it.
        """
        with self._turn, _told(), self._writing.begin() as connection:
            return work(connection)

    def write_together(self, works: Sequence[Work[T]]) -> "list[T | Exception]":
        """Does several pieces of work that share one commit; what one of them raises undoes that one alone.

        Returns:
            What each returned or raised.
        """
        if len(works) == 1:
            return [self._write_alone(works[0])]
        outcomes: list[T | Exception] = []
        try:
            with self._turn, _told(), self._writing.begin() as connection:
                for work in works:
                    outcomes.append(_within(connection, work))
        except Exception:
            # What is wrong with one (too large for the disk, say) is not to be the others' fault.
            return [self._write_alone(work) for work in works]
        return outcomes

    def clean(self, *, whole: bool = False) -> bool:
        """Sees to it that deleted text is in no file of a SQLite store.

        Deleted rows are overwritten with zeros, but pages of the write-ahead log still hold them until it is emptied,
        and when SQLite moves rows between pages a copy can stay in a page's unused part: about one text in a thousand.
        Only rewriting the file removes those.

        Args:
            whole: rewrite the file even if it is large.

        Returns:
            Whether it was rewritten, and nothing is left to do.

        Raises:
            Unavailable: when the database does not do it.
        """
        if not self.sqlite:
            return True
        with self._turn, _told(), contextlib.closing(self._engine.raw_connection()) as connection:
            cursor = connection.cursor()
            rewrite = whole or os.path.getsize(str(self._engine.url.database)) <= REWRITTEN_AT_ONCE
            try:
                cursor.execute(f"PRAGMA busy_timeout = {CLEANING_SECONDS * 1000}")
                if rewrite:
                    cursor.execute("VACUUM")
                [busy, *_] = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
            return rewrite and not busy

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    def _write_alone(self, work: Work[T]) -> T | Exception:
        try:
            return self.write(work)
        except Exception as error:
            return error


def _within(connection: Connection, work: Work[T]) -> T | Exception:
    try:
        with connection.begin_nested():
            return work(connection)
    except IntegrityError:
        return KeyAlreadyUsed("it is there already")
    except SQLAlchemyError:
        raise
    except Exception as error:
        return error


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What the database raises, as errors of the store: without their cause, in which PostgreSQL quotes whole rows."""
    try:
        yield
    except IntegrityError:
        raise KeyAlreadyUsed("it is there already") from None
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise Unavailable(f"the store cannot be used now: {reason(error)}") from None

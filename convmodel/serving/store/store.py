"""An address in, a place that keeps conversations and keys out, for threads and for event loops."""

import logging
from collections.abc import Callable, Mapping
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, text

from convmodel.serving.store import keys
from convmodel.serving.store.database import Database
from convmodel.serving.store.errors import Unavailable
from convmodel.serving.store.executor import Threads

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

Work = Callable[Concatenate[Connection, P], T]


class Store:
    """Keeps what must not be lost; what it is asked to do are functions of a connection (`conversations`, `keys`).

    Args:
        address: sqlite:///file, a plain path of a SQLite file, or postgresql+psycopg://...

    Raises:
        StoreError: when there is no usable store, which says why.

    Example:
        >>> import tempfile
        >>> from convmodel.serving.store import About, conversations
        >>> with tempfile.TemporaryDirectory() as folder, Store(f"sqlite:///{folder}/store.db") as store:
        ...     made = store.write(conversations.create, "me", about=About(title="Tea"))
        ...     store.read(conversations.load, "me", made.id).about.title
        'Tea'
    """

    def __init__(self, address: str) -> None:
        self._database = Database(address)
        self._threads = Threads(self._database)
        self.unclean = True  # a process that was killed may have deleted something and not cleaned up

    def read(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Does work that changes nothing. For threads; raises `Unavailable`."""
        return self._database.read(lambda connection: work(connection, *args, **kwargs))

    def write(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Does work of which all is on the disk when this returns, or nothing. For threads; raises `Unavailable`."""
        return self._database.write(lambda connection: work(connection, *args, **kwargs))

    async def reading(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`read` for event loops, which it never blocks."""
        return await self._threads.reading(lambda connection: work(connection, *args, **kwargs))

    async def writing(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` for event loops, which it never blocks; what comes together shares a commit."""
        return await self._threads.writing(lambda connection: work(connection, *args, **kwargs))

    async def cleaning(self, *, whole: bool = False) -> None:
        """After a deletion: sees to it that nothing of it is left in the file; see `Database.clean`.

        What cannot be done now, because the file is large or somebody reads, is left to `keep_purging`.

        Args:
            whole: even if the file is large.
        """
        self.unclean = True
        try:
            self.unclean = not await self._threads.cleaning(whole=whole)
        except Unavailable as error:
            logger.warning("what was deleted is not wiped from the file yet: %s", error)

    def check(self) -> None:
        """Check that the database answers. Raises `Unavailable`."""
        self.read(lambda connection: connection.execute(text("SELECT 1")))

    def digests(self) -> Mapping[str, str]:
        """The SHA-256 of each key with whose it is; for `convmodel.serving.auth.Keys`."""
        return self.read(keys.digests)

    def close(self) -> None:
        """Ends when everything that was begun is done; twice is no error."""
        self._threads.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

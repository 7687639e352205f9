"""The store: synchronous access for threads, asynchronous access for event loops."""

import logging
from collections.abc import Callable, Mapping
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, text

from convmodel.serving.store import keys
from convmodel.serving.store.database import Database
from convmodel.serving.store.errors import Unavailable
from convmodel.serving.store.executor import DatabaseExecutor, run

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

Operation = Callable[Concatenate[Connection, P], T]
"""A function of a connection in a transaction, and further arguments."""


class Store:
    """Storage of conversations, API keys and idempotency records.

    The operations are functions of a connection, in the modules `conversations`, `keys` and `idempotency`.

    Args:
        address: sqlite:///file, a path of a SQLite file, or postgresql+psycopg://...

    Raises:
        StoreError: if the address does not lead to a usable store.

    Example:
        >>> import tempfile
        >>> from convmodel.serving.store import ConversationSettings, conversations
        >>> with tempfile.TemporaryDirectory() as folder, Store(f"sqlite:///{folder}/store.db") as store:
        ...     tea = store.write(conversations.create, "me", about=ConversationSettings(title="Tea"))
        ...     store.read(conversations.load, "me", tea.id).about.title
        'Tea'
    """

    def __init__(self, address: str) -> None:
        self._database = Database(address)
        self._executor = DatabaseExecutor(self._database)
        self.unclean = True
        """Whether deleted text may remain in the file; true at first, since the last process may have been killed."""

    def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation that changes nothing. Blocks; for use in threads. Raises `Unavailable`."""
        return self._database.read(lambda connection: operation(connection, *args, **kwargs))

    def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation, and commit it to disk or not at all. Blocks; for use in threads. Raises `Unavailable`."""
        return self._database.write(lambda connection: operation(connection, *args, **kwargs))

    async def aread(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `read` without blocking the event loop."""
        return await run(
            self._executor.readers, self._database.read, lambda connection: operation(connection, *args, **kwargs)
        )

    async def awrite(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `write` without blocking the event loop; concurrent writes may share a commit."""
        return await self._executor.write(lambda connection: operation(connection, *args, **kwargs))

    async def clean(self, *, whole: bool = False) -> None:
        """Wipe deleted text from the file of a SQLite store; see `Database.clean`.

        If the file is large or in use by a reader, the rest is left to `keep_purging`.

        Args:
            whole: rewrite the file even if it is large.
        """
        self.unclean = True
        try:
            self.unclean = not await run(self._executor.writers, self._database.clean, whole=whole)
        except Unavailable as error:
            logger.warning("deleted text is not wiped from the file yet: %s", error)

    def check(self) -> None:
        """Check that the database answers. Raises `Unavailable`."""
        self.read(lambda connection: connection.execute(text("SELECT 1")))

    def digests(self) -> Mapping[str, str]:
        """Return the names of the API keys by the keys' SHA-256, for `convmodel.serving.auth.Keys`."""
        return self.read(keys.digests)

    def close(self) -> None:
        """Wait for the work in progress, and close the database. Idempotent."""
        self._executor.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""Locks that keep a second server, or a second bot, away from a SQLite store."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from convmodel.data.atomic import process_lock
from convmodel.serving.store.engine import parse_address
from convmodel.serving.store.errors import StoreError


@contextlib.contextmanager
def instance_lock(address: str, user: Literal["server", "bot"]) -> Iterator[None]:
    """Be the only server, or the only bot, of a SQLite store during the block.

    A second server would not know of the replies in progress of the first, and a second bot would send the waiting
    messages twice. A server and a bot may share a store, and `keys` needs no lock. The lock is a file beside the store
    that ends in the name of the user; it ends with the process. PostgreSQL stores are not locked: several servers may
    share one, and the operator must ensure that only one bot runs.

    Args:
        address: the address of a store that exists; see `open_engine`.

    Raises:
        StoreError: when another process holds the lock, which is named, or the file cannot be opened.
    """
    url = parse_address(address)
    if url.get_backend_name() != "sqlite":
        yield
        return
    file = Path(str(url.database)).resolve()
    busy = f"{address}: another {user} uses it ({{holder}}); stop that one, or give another --store"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(process_lock(file.with_name(f"{file.name}.{user}"), busy=busy))
        except (ValueError, OSError) as error:
            raise StoreError(str(error)) from None
        yield

"""Locks that prevent two servers, or two bots, from using a SQLite store at the same time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from convmodel.data.atomic import process_lock
from convmodel.serving.store.engine import parse_address
from convmodel.serving.store.errors import StoreError


@contextlib.contextmanager
def instance_lock(address: str, user: Literal["server", "bot"]) -> Iterator[None]:
    """Hold the lock of the only server, or of the only bot, of a SQLite store during the block.

    A second server would not know about the replies in progress of the first, and a second bot would send queued
    messages twice. A server and a bot may share a store, and the command `keys` needs no lock. The lock is a file
    beside the store, named STORE.server or STORE.bot; the operating system releases it when the process ends.
    PostgreSQL stores are not locked: several servers may share one, and the operator must ensure that only one bot
    runs.

    Args:
        address: the address of an existing store; see `open_engine`.
        user: the kind of process that uses the store.

    Raises:
        StoreError: if another process holds the lock (the message names this process), or the lock file cannot be
            opened.
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

"""The store in which the processes of torchrun find each other."""

import os
import socket
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]

WAIT = timedelta(minutes=5)
"""Maximum time until all processes of a run have started."""

PORT = "convmodel/port"
"""Key of the port of the first process's store in the store of torchrun."""

_servers: list[TCPStore] = []
"""Stores that this process serves; a store ends when its object is deleted."""


def use_new_store() -> None:
    """Let the processes of this attempt of torchrun meet in a store of their own; without torchrun, do nothing.

    torchrun (torch 2.13) keeps one store for all attempts, and does not separate their keys. Processes that are started
    again would find the addresses of the failed ones there, and wait for them. Therefore the first process serves a
    new store, and `MASTER_PORT` is set to its port. Raises TimeoutError if the first process does not start.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    host = os.environ["MASTER_ADDR"]
    shared = _connect(host, int(os.environ["MASTER_PORT"]), is_master=False)
    if os.environ["RANK"] == "0":
        _servers.append(_connect(host, 0, is_master=True))
        shared.set(PORT, str(_servers[-1].port))
    os.environ["MASTER_PORT"] = _open_port(host, shared)


def _connect(host: str, port: int, **options: Any) -> TCPStore:
    return TCPStore(host, port, wait_for_workers=False, timeout=WAIT, **options)


def _open_port(host: str, shared: TCPStore) -> str:
    """Return the port of the first process's store; that of an earlier attempt, which no longer answers, is ignored."""
    deadline = time.monotonic() + WAIT.total_seconds()
    while time.monotonic() < deadline:
        if shared.check([PORT]):
            port = str(shared.get(PORT), "ascii")
            with suppress(OSError):
                socket.create_connection((host, int(port)), timeout=5).close()
                return port
        time.sleep(0.1)
    raise TimeoutError(
        f"the first process of the run, on {host}, has not started for {WAIT}; see its output, and check that this "
        "machine can connect to the ports of that one"
    )

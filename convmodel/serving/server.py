"""The HTTP server: it serves a service on a socket until SIGINT or SIGTERM."""

import asyncio
import contextlib
import ctypes
import ipaddress
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType

import uvicorn
from fastapi import APIRouter

from convmodel.serving.app import create_app
from convmodel.serving.http_protocol import bounded_protocol
from convmodel.serving.logs import log_to_stderr
from convmodel.serving.service import Service

SWITCH_SECONDS = 0.0005
"""Switch interval of the interpreter in seconds; short, so that the generating thread does not wait long for others."""

M_ARENA_MAX = -8
ARENAS = 2
"""Value of the parameter `M_ARENA_MAX` of mallopt(3): the maximum number of heaps, which all threads share.

glibc's default is eight per core, and each heap keeps its peak size.
"""

TRIM_SECONDS = 60.0
"""Interval, in seconds, at which free memory is returned to the operating system.

By itself, glibc keeps all free memory at lower addresses than a block in use.
"""

AFTER_GRACE = 5
"""Seconds for the responses to end after their replies were cancelled."""


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached only from this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket. Call it before loading the model, so that a port in use is reported immediately.

    Raises:
        ValueError: if the address does not exist or is in use.
    """
    try:
        [family, _, _, _, address] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, OverflowError, UnicodeError):
        raise ValueError(f"--host {host}: this machine has no such address; use 127.0.0.1 for local access") from None
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(1024)
    except (OSError, OverflowError) as error:
        bound.close()
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"port {port} of {host} cannot be used: {str(reason).lower()}; give another one with --port"
        raise ValueError(message) from None
    return bound


def address_of(bound: socket.socket) -> str:
    """Return the URL of a listening socket for a browser on this machine."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def prepare_process() -> None:
    """Tune the process for many threads: a short switch interval and few heaps. Call it before loading the model."""
    sys.setswitchinterval(SWITCH_SECONDS)
    if sys.platform.startswith("linux"):
        with contextlib.suppress(AttributeError):  # a C library other than glibc
            library = ctypes.CDLL(None)
            library.mallopt(M_ARENA_MAX, ARENAS)
            threading.Thread(target=_trim_memory, args=[library.malloc_trim], name="memory", daemon=True).start()


def _trim_memory(trim: Callable[[int], object]) -> None:
    while True:
        time.sleep(TRIM_SECONDS)
        trim(0)


def run(
    service: Service, bound: socket.socket, *, routers: Iterable[APIRouter] = (), started: Callable[[str], None] = print
) -> int:
    """Serve requests until SIGINT or SIGTERM; then give open replies `Settings.grace` seconds to end, and return 0.

    Args:
        service: the service; closed at the end.
        bound: the listening socket; see `bind`.
        routers: additional routers; see `create_app`.
        started: function that is called with a line of text, which has the URL, when the server is ready.
    """
    log_to_stderr(texts=service.settings.log_texts)
    config = new_config(service, routers=routers)
    line = f"{service.title}: {address_of(bound)} (Ctrl-C ends it)"
    GracefulServer(config, service, lambda: started(line)).run([bound])
    return 0


def new_config(service: Service, *, routers: Iterable[APIRouter] = ()) -> uvicorn.Config:
    """Return the uvicorn configuration for a service; see `run`."""
    return uvicorn.Config(
        create_app(service, routers=routers),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(service.settings.grace) + AFTER_GRACE,
        http=bounded_protocol(service.settings),
        ws="none",
    )


class GracefulServer(uvicorn.Server):
    """A uvicorn server that lets open replies end after the first signal, and does not raise the signal again."""

    def __init__(self, config: uvicorn.Config, service: Service, when_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._service = service
        self._when_started = when_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._when_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Shut down gracefully on the first signal, and at once on a second SIGINT."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ending = asyncio.ensure_future(self._service.jobs.shut_down(self._service.settings.grace))
        logging.getLogger(__name__).info("shutting down; %d replies are open", self._service.jobs.limit.open)
        await super().shutdown(sockets)
        if self.force_exit:
            ending.cancel()
            await asyncio.to_thread(self._service.close)
        else:
            await ending

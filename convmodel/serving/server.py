"""A Service and an address in, requests answered until a signal comes out."""

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
from convmodel.serving.http_protocol import BoundedHeads
from convmodel.serving.logs import log_to_stderr
from convmodel.serving.service import Service

SWITCH_SECONDS = 0.0005
"""How long a thread may keep others of Python waiting: the one that writes must not wait for those that send."""

M_ARENA_MAX, ARENAS = -8, 2
"""Of mallopt(3): heaps that the threads of a process share. By default glibc gives eight for each core, and each keeps
what it held when most was asked for."""

GIVEN_BACK_EVERY = 60.0
"""Seconds after which the system gets back what nobody holds any more. By itself glibc keeps what lies below anything
that is held."""

AFTER_GRACE = 5
"""Seconds that answers have to end when what they say was ended."""


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposed(host: str, *, keys: bool) -> None:
    """Refuses to be reached by others when nobody needs a key.

    Raises:
        ValueError: says how to make one.
    """
    if not is_loopback(host) and not keys:
        raise ValueError(
            f"--host {host} can be reached from other machines, and there are no keys; make one with "
            "python -m convmodel keys add NAME, or leave --host out"
        )


def bind(host: str, port: int) -> socket.socket:
    """Takes an address before anything is loaded.

    Raises:
        ValueError: when it cannot be taken.
    """
    try:
        [family, _, _, _, address] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, OverflowError, UnicodeError):
        raise ValueError(f"--host {host}: this machine has no such address; 127.0.0.1 is itself") from None
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(1024)
    except (OSError, OverflowError) as error:
        bound.close()
        why = error.strerror if isinstance(error, OSError) else error
        raise ValueError(
            f"port {port} of {host} cannot be used: {str(why).lower()}; give another one with --port"
        ) from None
    return bound


def address_of(bound: socket.socket) -> str:
    """How a browser on this machine reaches a socket."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def prepare_process() -> None:
    """Lets many threads live together: they take turns soon, and share their memory. Before anything is loaded."""
    sys.setswitchinterval(SWITCH_SECONDS)
    if sys.platform.startswith("linux"):
        with contextlib.suppress(AttributeError):  # another library of C
            library = ctypes.CDLL(None)
            library.mallopt(M_ARENA_MAX, ARENAS)
            threading.Thread(target=_give_back, args=[library.malloc_trim], name="memory", daemon=True).start()


def _give_back(trim: Callable[[int], object]) -> None:
    while True:
        time.sleep(GIVEN_BACK_EVERY)
        trim(0)


def run(
    service: Service,
    bound: socket.socket,
    *,
    routers: Iterable[APIRouter] = (),
    started: Callable[[str], None] = print,
) -> int:
    """Answers requests until SIGINT or SIGTERM; what is being said then may end.

    Args:
        service: answers; it is closed in the end.
        bound: where requests come.
        routers: see `create_app`.
        started: called with a line when requests are answered.

    Returns:
        The exit status, 0.
    """
    log_to_stderr(texts=service.settings.log_texts)
    config = new_config(service, routers=routers)
    Server(config, service, lambda: started(f"{service.title}: {address_of(bound)} (Ctrl-C ends it)")).run([bound])
    return 0


def new_config(service: Service, *, routers: Iterable[APIRouter] = ()) -> uvicorn.Config:
    """How a service's application is served; see `run`."""
    return uvicorn.Config(
        create_app(service, routers=routers),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(service.settings.grace) + AFTER_GRACE,
        http=BoundedHeads,
        ws="none",
    )


class Server(uvicorn.Server):
    """Ends without being killed by the signal that it ends for.

    Args:
        config: of uvicorn.
        service: told when the end begins.
        when_started: called when requests are answered.
    """

    def __init__(self, config: uvicorn.Config, service: Service, when_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._when_started = service, when_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._when_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal lets answers end; a second one does not."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ending = asyncio.ensure_future(self._service.makings.end(self._service.settings.grace))
        logging.getLogger(__name__).info("ending; %d replies are open", self._service.makings.places.open)
        await super().shutdown(sockets)
        if self.force_exit:
            ending.cancel()
            await asyncio.to_thread(self._service.close)
        else:
            await ending

"""A Service in, its address out, served in the event loop of the bot that talks to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from convmodel.serving.auth import Keys
from convmodel.serving.server import GracefulServer, address_of, bind, new_config
from convmodel.serving.service import Service
from convmodel.serving.store.keys import digest, new_key

OWNER = "telegram"
"""Whose conversations the bot's are, in a store of its own."""


class _Server(GracefulServer):
    """Leaves the signals to the bot, which ends before the server does."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def own_key() -> tuple[str, Keys]:
    """A key for this process, and who knows it: others on the machine must not read what people write to the bot."""
    key = new_key()
    return key, Keys(lambda: {digest(key): OWNER}, required=True)


@contextlib.asynccontextmanager
async def serving_here(service: Service) -> AsyncIterator[str]:
    """Serves on a free port of the loopback; gives the address. The service is closed in the end.

    Raises:
        ValueError: when it cannot be served.
    """
    started = asyncio.Event()
    with bind("127.0.0.1", 0) as bound:
        server = _Server(new_config(service), service, started.set)
        serving = asyncio.ensure_future(server.serve(sockets=[bound]))
        starting = asyncio.ensure_future(started.wait())
        try:
            await asyncio.wait({serving, starting}, return_when=asyncio.FIRST_COMPLETED)
            if not started.is_set():
                await serving
                raise ValueError("the server did not start; its log says why")
            yield address_of(bound).rstrip("/")
        finally:
            starting.cancel()
            server.should_exit = True
            await serving

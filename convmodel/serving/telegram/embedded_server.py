"""A convmodel server that runs in the event loop of the bot."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from convmodel.serving.auth import Keys
from convmodel.serving.server import GracefulServer, address_of, bind, new_config
from convmodel.serving.service import Service
from convmodel.serving.store.keys import digest, new_key


class _Server(GracefulServer):
    """A server that does not handle signals: the bot handles them, and ends before the server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def own_key() -> tuple[str, Keys]:
    """Return a new API key, and the `Keys` that accept only this key.

    Without a key, other users of the machine could read the bot's conversations over the loopback interface.
    """
    key = new_key()
    return key, Keys(lambda: {digest(key): "telegram"}, required=True)


@contextlib.asynccontextmanager
async def serving_here(service: Service) -> AsyncIterator[str]:
    """Run a server on a free port of the loopback interface during the block, and yield its URL.

    The service is closed at the end.

    Raises:
        ValueError: if the server does not start.
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

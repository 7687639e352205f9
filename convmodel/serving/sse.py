"""Events in, a stream that a browser reads out; who leaves ends what is made for them."""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from convmodel.serving.errors import APIError

STILL_THERE = b": \n\n"
"""A comment, which readers pass over."""

DONE = b"data: [DONE]\n\n"
"""What ends a stream of OpenAI's."""


_ENDS = str.maketrans({end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"})
"""What JSON may hold as it is, and what many a reader takes for the end of a line."""


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def dump(value: Any) -> str:
    """JSON in one line, to every reader. What JSON has no number for is null, what UTF-8 cannot hold is "?"."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    try:
        text = _ENCODER.encode(value)
    except ValueError:
        text = _ENCODER.encode(_finite(value))
    return text.translate(_ENDS).encode("utf-8", "replace").decode()


def event(name: str, value: Any) -> bytes:
    """An event of our own API."""
    return f"event: {name}\ndata: {dump(value)}\n\n".encode()


def data(value: Any) -> bytes:
    """An event without a name, as OpenAI's are."""
    return f"data: {dump(value)}\n\n".encode()


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in one piece, written as `dump` writes."""
    return Response(dump(value), status, headers, "application/json")


class EventStream(Response):
    """Sends events as they come.

    Args:
        events: what is sent, each as it stands on the wire. It is closed when the client leaves, is too slow, or the
            server ends: its `finally` frees what was held.
        keep_alive: seconds of silence after which a comment is sent; 0 is never.
        patience: seconds in which a client must take what is sent.
    """

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncGenerator[bytes, None], *, keep_alive: float = 15.0, patience: float = 120.0
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events, self._keep_alive, self._patience = events, keep_alive, patience
        self._giving: float | None = None
        """Since when a chunk waits to be taken."""
        self._given = 0.0
        """When the last one was."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending, leaving = asyncio.ensure_future(self._send(send)), asyncio.ensure_future(wait_for_disconnect(receive))
        both: set[asyncio.Future[None]] = {sending, leaving}
        try:
            await self._watch(both, send)
            if sending.done():
                sending.result()
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.wait(both)
            await self._events.aclose()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._events:
            await self._give(chunk, send)
        await self._give(b"", send)

    async def _give(self, chunk: bytes, send: Send) -> None:
        self._giving = time.monotonic()
        await send({"type": "http.response.body", "body": chunk, "more_body": bool(chunk)})
        self._giving, self._given = None, time.monotonic()

    async def _watch(self, both: "set[asyncio.Future[None]]", send: Send) -> None:
        """Returns when all is sent, when the client has gone, and when it has not taken a chunk for too long.

        Here is what need not be done for each chunk.
        """
        self._given = time.monotonic()
        while not any(each.done() for each in both):
            now, wait = time.monotonic(), self._patience
            if self._giving is not None:
                wait = self._giving + self._patience - now
                if wait <= 0:  # nobody reads; there is nobody to tell
                    return
            elif self._keep_alive:
                wait = min(wait, self._given + self._keep_alive - now)
                if wait <= 0:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._patience):
                            await self._give(STILL_THERE, send)
                    continue
            await asyncio.wait(both, timeout=wait, return_when=asyncio.FIRST_COMPLETED)


async def wait_for_disconnect(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


Result = TypeVar("Result")


class ClientLeft(APIError):
    """Nobody waits any more; whatever is answered is not read."""

    def __init__(self) -> None:
        super().__init__(499, "the client left", code="client_left")


async def cancel_on_disconnect(
    request: Request, waiting: Coroutine[Any, Any, Result], stop: Callable[[], None]
) -> Result:
    """Waits for something as long as the client does.

    Args:
        request: of the client, whose body was read.
        waiting: gives the result.
        stop: ends what is being made; called when the client leaves and when anything else goes wrong.

    Raises:
        ClientLeft: when the client did.
    """
    coming = asyncio.ensure_future(waiting)
    leaving = asyncio.ensure_future(wait_for_disconnect(request.receive))
    both: set[asyncio.Future[Any]] = {coming, leaving}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if coming.done():
            return coming.result()
        raise ClientLeft()
    finally:
        stop()
        for each in both:
            each.cancel()
        await asyncio.gather(*both, return_exceptions=True)

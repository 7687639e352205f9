"""Events in, a stream that a browser reads out; who leaves ends what is made for them."""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

STILL_THERE = b": \n\n"
"""A comment, which readers pass over."""

DONE = b"data: [DONE]\n\n"
"""What ends a stream of OpenAI's."""


_ENDS = str.maketrans({end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"})
"""What JSON may hold as it is, and what many a reader takes for the end of a line."""


def dump(value: Any) -> str:
    """JSON in one line, to every reader. What JSON has no number for is null, what UTF-8 cannot hold is "?"."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False)
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.ensure_future(left(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._send_until(leaving, send)
        except TimeoutError:  # nobody reads; there is nobody to tell
            pass
        finally:
            leaving.cancel()
            await self._events.aclose()

    async def _send_until(self, leaving: "asyncio.Future[None]", send: Send) -> None:
        coming: asyncio.Future[bytes] | None = None
        try:
            while True:
                coming = coming or asyncio.ensure_future(_next(self._events))
                both: set[asyncio.Future[Any]] = {coming, leaving}
                await asyncio.wait(both, timeout=self._keep_alive or None, return_when=asyncio.FIRST_COMPLETED)
                if leaving.done():
                    return
                chunk = STILL_THERE
                if coming.done():
                    chunk, coming = coming.result(), None
                async with asyncio.timeout(self._patience):
                    await send({"type": "http.response.body", "body": chunk, "more_body": bool(chunk)})
                if not chunk:
                    return
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.wait({coming})


async def _next(events: AsyncGenerator[bytes, None]) -> bytes:
    """The next event; nothing when there are no more."""
    async for each in events:
        return each
    return b""


async def left(receive: Receive) -> None:
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

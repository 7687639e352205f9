"""Server-sent events and JSON responses, and cancellation when a client disconnects."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from convmodel.serving.errors import APIError
from convmodel.serving.json_body import dump, json_response
from convmodel.serving.service import Service

STILL_THERE = b": \n\n"
"""A comment that keeps the connection open; clients ignore it."""

DONE = b"data: [DONE]\n\n"
"""The last event of a stream in OpenAI's API."""

Result = TypeVar("Result")


def encode_event(name: str, value: Any) -> bytes:
    """Encode an event with a name and a JSON value, in the format of convmodel's own API."""
    return f"event: {name}\ndata: {dump(value)}\n\n".encode()


def encode_data(value: Any) -> bytes:
    """Encode an event without a name, in the format of OpenAI's API."""
    return f"data: {dump(value)}\n\n".encode()


class EventStream(Response):
    """A response that sends events as they are produced.

    Args:
        events: the encoded events. The generator is closed when the client disconnects or reads too slowly, and when
            the server shuts down; its `finally` releases resources.
        keep_alive: seconds without an event after which a comment is sent; 0 sends no comments.
        patience: maximum number of seconds that a client may take to accept a chunk; then the connection is closed.
    """

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncGenerator[bytes, None], *, keep_alive: float = 15.0, patience: float = 120.0
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._keep_alive = keep_alive
        self._patience = patience
        self._sending_since: float | None = None  # time at which sending the current chunk began; None between chunks
        self._last_sent = 0.0  # time at which the client accepted the last chunk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(wait_for_disconnect(receive))
        tasks: set[asyncio.Future[None]] = {sending, leaving}
        try:
            await self._watch(tasks, send)
            if sending.done():
                sending.result()
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.wait(tasks)
            await self._events.aclose()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._events:
            await self._send_chunk(chunk, send)
        await self._send_chunk(b"", send)

    async def _send_chunk(self, chunk: bytes, send: Send) -> None:
        self._sending_since = time.monotonic()
        await send({"type": "http.response.body", "body": chunk, "more_body": bool(chunk)})
        self._sending_since = None
        self._last_sent = time.monotonic()

    async def _watch(self, tasks: "set[asyncio.Future[None]]", send: Send) -> None:
        """Send keep-alive comments until a task is done, or the client has not accepted a chunk within `patience`.

        One loop watches the whole stream, which is cheaper than a timeout per chunk.
        """
        self._last_sent = time.monotonic()
        while not any(task.done() for task in tasks):
            now = time.monotonic()
            wait = self._patience
            if self._sending_since is not None:
                wait = self._sending_since + self._patience - now
                if wait <= 0:  # an error cannot be sent either, since the client does not read
                    return
            elif self._keep_alive:
                wait = min(wait, self._last_sent + self._keep_alive - now)
                if wait <= 0:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._patience):
                            await self._send_chunk(STILL_THERE, send)
                    continue
            await asyncio.wait(tasks, timeout=wait, return_when=asyncio.FIRST_COMPLETED)


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


class ClientLeft(APIError):
    """Raised when the client has disconnected. Its response goes nowhere, but its status 499 is logged."""

    def __init__(self) -> None:
        super().__init__(499, "the client left", code="client_left")


async def cancel_on_disconnect(request: Request, result: Awaitable[Result], cancel: Callable[[], None]) -> Result:
    """Await and return a result, unless the client disconnects first.

    Args:
        request: the request; its body must have been read.
        result: the result to await.
        cancel: function that cancels the work for the result; always called at the end.

    Raises:
        ClientLeft: if the client disconnected first.
    """
    working = asyncio.ensure_future(result)
    leaving = asyncio.ensure_future(wait_for_disconnect(request.receive))
    tasks: set[asyncio.Future[Any]] = {working, leaving}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientLeft()
    finally:
        cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def respond(
    request: Request,
    name: str,
    result: Callable[[], Awaitable[Any]],
    cancel: Callable[[], None],
    *,
    pieces: AsyncIterator[str] | None = None,
    first: bytes = b"",
) -> Response:
    """Return the response to a request for a job: JSON, or a stream of events if `pieces` are given.

    Args:
        name: name of the event with the result.
        result: function whose awaited value is the result of the job.
        cancel: function that cancels the job; always called at the end.
        pieces: pieces of the text, each sent as an event `piece`; the event with the result follows. None returns JSON.
        first: an encoded event to send before the pieces.
    """
    service: Service = request.app.state.service
    if pieces is None:
        return json_response(await cancel_on_disconnect(request, result(), cancel))

    async def events() -> AsyncGenerator[bytes, None]:
        if first:
            yield first
        async for piece in pieces:
            yield encode_event("piece", {"text": piece})
        yield encode_event(name, await result())

    return stream_response(service, events(), cancel, lambda error: encode_event("error", error.body()))


def stream_response(
    service: Service,
    events: AsyncGenerator[bytes, None],
    cancel: Callable[[], None],
    encode_error: Callable[[APIError], bytes],
) -> EventStream:
    """Return a response that streams events; if the events raise an `APIError`, it ends with an error event.

    Args:
        cancel: function that cancels the job; always called at the end.
        encode_error: function that encodes the error event.
    """

    async def guarded() -> AsyncGenerator[bytes, None]:
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    yield event
        except APIError as error:
            service.metrics.count_error(error.code or "other")
            yield encode_error(error)
        finally:
            cancel()

    return EventStream(guarded(), keep_alive=service.settings.keep_alive)

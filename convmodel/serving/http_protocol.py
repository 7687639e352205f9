"""HTTP protocol for uvicorn that limits the size and the time of requests, and the number of connections."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from convmodel.serving.errors import APIError, unavailable
from convmodel.serving.settings import Settings

MAX_HEAD_BYTES = 65_536
"""Limit for a request head, and for chunk sizes and trailers. uvicorn's own parser has none, and keeps heads in memory
before any API key is checked."""


class BoundedRequests(HttpToolsProtocol):
    """Closes connections whose requests are too long or too slow, and new ones where too many are open."""

    settings = Settings()

    _unparsed = 0
    """Bytes received since the parser last reported a complete head, a part of a body, or the end of a request."""

    _expiry: asyncio.TimerHandle | None = None
    """The end of the time for the head or the body that is arriving."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or close it where too many are open."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.connections:
            message = f"{self.settings.connections} connections are open; try again later"
            self._refuse(unavailable(message, "too_many_connections"))
        else:
            self._expire(self.settings.head_seconds, transport.close)  # nothing was asked, so there is no answer

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection."""
        self._expire(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, and close the connection if too many of them belong to one head."""
        if self.transport.is_closing():
            return
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(APIError(400, f"the head of the request is longer than {MAX_HEAD_BYTES:,} bytes; shorten it"))
        if self._expiry is None and self.cycle is not None and self.cycle.response_complete:  # blank lines
            self._expire(self.settings.head_seconds, self.transport.close)

    # Callbacks of the parser. A request ends with the trailers after a chunked body.

    def on_message_begin(self) -> None:
        self._unparsed = 0
        self._expire(self.settings.head_seconds, self._refuse_slow)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unparsed = 0
        self._expire(self.settings.body_seconds + 1, self._end_body)  # the middleware answers before, if it reads it
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        self._expire(None)
        super().on_message_complete()

    def _expire(self, seconds: float | None, end: Callable[[], None] | None = None) -> None:
        """Call `end` after so many seconds, unless this is called again; None means never."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = None if seconds is None or end is None else self.loop.call_later(seconds, end)

    def _end_body(self) -> None:
        """End a request whose body is not complete; a pipelined one is not read before its turn."""
        if self.pipeline:
            self._expire(self.settings.body_seconds, self._end_body)
        elif self.cycle.response_started:
            self.transport.close()
        else:
            self._refuse_slow()

    def _refuse_slow(self) -> None:
        self._refuse(APIError(408, "the request did not arrive in time; send it faster", code="timeout"))

    def _refuse(self, error: APIError) -> None:
        """Send an error and close the connection."""
        response = error.response("")
        head = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}".encode(), b"connection: close"]
        head += [name + b": " + value for name, value in response.raw_headers]
        self.transport.write(b"\r\n".join([*head, b"", bytes(response.body)]))
        self.transport.close()


def bounded_protocol(settings: Settings) -> type[asyncio.Protocol]:
    """Return the protocol class with the limits of a server."""
    namespace: dict[str, Any] = {"settings": settings}
    return type("ServerRequests", (BoundedRequests,), namespace)

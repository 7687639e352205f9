"""HTTP protocol for uvicorn that limits the size and the time of requests, and the number of connections."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from convmodel.serving.errors import APIError, unavailable
from convmodel.serving.settings import Settings

MAX_HEAD_BYTES = 65_536
"""Maximum size of a request head, and of chunk headers and trailers. uvicorn's own parser has no limit, and keeps heads
in memory before the API key is checked."""


class BoundedRequests(HttpToolsProtocol):
    """HTTP protocol of a connection that closes it if a request is too long or too slow, or too many are open."""

    settings = Settings()

    _unparsed = 0
    """Number of bytes received since the parser last reported a complete head, a part of a body, or a request's end."""

    _expiry: asyncio.TimerHandle | None = None
    """Timer of the deadline for the head or the body that is being received."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or answer 503 and close it if too many connections are open."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.connections:
            message = f"{self.settings.connections} connections are open; try again later"
            self._refuse(unavailable(message, "too_many_connections"))
        else:
            self._expire(self.settings.head_seconds, transport.close)  # no request has begun, so no response is due

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer of a closed connection."""
        self._expire(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes; answer 400 and close the connection if a request head is too long."""
        if self.transport.is_closing():
            return
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(APIError(400, f"the head of the request is longer than {MAX_HEAD_BYTES:,} bytes; shorten it"))
        if self._expiry is None and self.cycle is not None and self.cycle.response_complete:
            # The bytes were blank lines between requests, which the parser does not report.
            self._expire(self.settings.head_seconds, self.transport.close)

    # Callbacks of the parser. The request ends only after the trailers of a chunked body.

    def on_message_begin(self) -> None:
        self._unparsed = 0
        self._expire(self.settings.head_seconds, self._refuse_slow)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unparsed = 0
        # One second more than the middleware's own deadline: if it reads the body, it sends the error response.
        self._expire(self.settings.body_seconds + 1, self._end_body)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        self._expire(None)
        super().on_message_complete()

    def _expire(self, seconds: float | None, end: Callable[[], None] | None = None) -> None:
        """Set the timer to call `end` after `seconds`, and cancel the previous timer; None only cancels."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = None if seconds is None or end is None else self.loop.call_later(seconds, end)

    def _end_body(self) -> None:
        """End a request whose body did not arrive in time.

        A pipelined request gets more time, since its body is read only after the requests before it.
        """
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
    """Return a protocol class with the limits of a server; uvicorn makes an instance for each connection."""
    namespace: dict[str, Any] = {"settings": settings}
    return type("ServerRequests", (BoundedRequests,), namespace)

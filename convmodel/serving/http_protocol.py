"""HTTP protocol for uvicorn that limits the size of request heads."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
"""Limit for a request head, and for chunk sizes and trailers. uvicorn's own parser has none, and keeps heads in memory
before any API key is checked."""


class BoundedHeads(HttpToolsProtocol):
    """Closes connections whose request head exceeds the limit."""

    _unparsed = 0
    """Bytes received since the parser last reported a complete head, a part of a body, or the end of a request."""

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, and close the connection if too many of them belong to one head."""
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of the request is longer than {MAX_HEAD_BYTES} bytes.")

    # Callbacks of the parser. A request ends with the trailers after a chunked body.

    def on_message_begin(self) -> None:
        self._unparsed = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unparsed = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        super().on_message_complete()

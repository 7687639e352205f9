"""Bytes of a connection in, requests out whose heads have a bounded length, whoever sends them."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST = 65_536
"""Bytes of a head, or of whatever else is neither body nor over: uvicorn's own parser takes them without an end, and
keeps them in memory before anybody was asked for a key."""


class BoundedHeads(HttpToolsProtocol):
    """Closes a connection whose head does not end."""

    _unused = 0
    """Bytes that have come since a head, a piece of a body, or a request began or was over."""

    def data_received(self, data: bytes) -> None:
        """Reads on."""
        self._unused += len(data)
        super().data_received(data)
        if self._unused > MOST and not self.transport.is_closing():
            self.send_400_response(f"The head of the request is longer than {MOST} bytes.")

    # What the parser calls

    def on_message_begin(self) -> None:
        """A head begins."""
        self._unused = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """It is over."""
        self._unused = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body has come."""
        self._unused = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is over, with all that may stand behind its body."""
        self._unused = 0
        super().on_message_complete()

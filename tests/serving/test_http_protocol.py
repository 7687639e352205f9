"""Request heads of unbounded length, over real sockets."""

import json
import re
import socket

import pytest

from tests.serving.clients import served, service_of


@pytest.mark.parametrize(
    "begin, more",
    [
        (b"GET /", b"a"),
        (b"GET /health HTTP/1.1\r\nX: ", b"a"),
        (b"GET /health HTTP/1.1\r\n", b"X: a\r\n"),
        (b"POST /replies HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n"),
    ],
)
def test_an_endless_request_head_is_rejected(begin: bytes, more: bytes) -> None:
    with served(service_of()) as address, socket.create_connection(_port_of(address), timeout=20) as connection:
        connection.sendall(begin)
        with pytest.raises(ConnectionError):
            for _ in range(2_000):
                connection.sendall(more * (10_000 // len(more)))


def test_a_long_body_and_pipelined_requests_do_not_count_as_a_head() -> None:
    body = json.dumps({"context": ["a"] * 60_000}).encode()
    head = b"POST /replies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with served(service_of()) as address, socket.create_connection(_port_of(address), timeout=20) as connection:
        connection.sendall((head % len(body) + body) * 3 + last)
        came = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", came) == [b"400", b"400", b"400", b"200"]
    assert came.count(b"60,000 turns; 1,000 are allowed") == 3


def _port_of(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("http://").partition(":")
    return host, int(port)

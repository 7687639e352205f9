"""Requests of unbounded length and time, and too many connections, over real sockets."""

import contextlib
import json
import re
import select
import socket
import time

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


BEGINNINGS = [b"", b"G", b"GET /health HTTP/1.1\r\n", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ", b"\r\n"]
"""Heads that are never completed."""


def test_connections_that_never_complete_their_head_are_closed() -> None:
    with served(service_of(head_seconds=0.5)) as address, contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(_port_of(address), timeout=20)) for _ in range(300)]
        for number, connection in enumerate(opened):
            connection.sendall(BEGINNINGS[number % len(BEGINNINGS)])
        ended = time.monotonic() + 10
        waiting = set(opened)
        while waiting and time.monotonic() < ended:
            for connection in select.select(list(waiting), [], [], 0.1)[0]:
                if not connection.recv(65_536):
                    waiting.discard(connection)
        assert not waiting
        with socket.create_connection(_port_of(address), timeout=20) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert _read(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "piece",
    [b"", b"X: a\r\n"],
)
def test_a_head_that_does_not_arrive_in_time_is_408_however_slowly_it_comes(piece: bytes) -> None:
    with (
        served(service_of(head_seconds=0.4)) as address,
        socket.create_connection(_port_of(address), timeout=20) as connection,
    ):
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")  # a complete request before it
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        begun = time.monotonic()
        while not select.select([connection], [], [], 0.1)[0]:
            connection.sendall(piece)
        assert time.monotonic() - begun < 5
        answer = _read(connection)
    assert answer.startswith(b"HTTP/1.1 408 ") and b'"code": "timeout"' in answer


def test_blank_lines_between_requests_do_not_keep_a_connection_open() -> None:
    with (
        served(service_of(head_seconds=0.3)) as address,
        socket.create_connection(_port_of(address), timeout=20) as connection,
    ):
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        end = time.monotonic() + 5
        with contextlib.suppress(ConnectionError):
            while not select.select([connection], [], [], 0.05)[0]:
                assert time.monotonic() < end
                connection.sendall(b"\r\n")
            assert connection.recv(65_536) == b""


def test_a_body_that_nobody_reads_must_arrive_in_time_as_well() -> None:
    with (
        served(service_of(body_seconds=0.1)) as address,
        socket.create_connection(_port_of(address), timeout=20) as connection,
    ):
        connection.sendall(b"POST /replies HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 50\r\n\r\n{")
        assert _read(connection).startswith(b"HTTP/1.1 403 ")


def test_open_connections_are_bounded() -> None:
    with served(service_of(connections=5)) as address, contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(socket.create_connection(_port_of(address), timeout=20))
        time.sleep(0.2)
        with socket.create_connection(_port_of(address), timeout=20) as connection:
            answer = _read(connection)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"5 connections are open" in answer


@pytest.mark.parametrize("hosts", [["localhost", "localhost"], ["localhost", "evil.example"], []])
def test_a_request_has_one_host(hosts: list[str]) -> None:
    with served(service_of()) as address, socket.create_connection(_port_of(address), timeout=20) as connection:
        lines = ["GET /health HTTP/1.1", *(f"Host: {host}" for host in hosts), "", ""]
        connection.sendall("\r\n".join(lines).encode())
        answer = _read(connection)
    assert answer.startswith(b"HTTP/1.1 400 ") and f"{len(hosts)} Host headers".encode() in answer


def _read(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def _port_of(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("http://").partition(":")
    return host, int(port)

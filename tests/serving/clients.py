"""Servers on a FakeResponder, and clients of them: in this thread, or over a socket."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.testclient import TestClient

from convmodel.serving.app import create_app
from convmodel.serving.server import GracefulServer, address_of, bind, new_config
from convmodel.serving.service import Service
from convmodel.serving.settings import Settings
from tests.fakes import FakeResponder

BASE = "http://localhost"


def service_of(responder: Any = None, **settings: Any) -> Service:
    """Return a service of a fake, with settings that end tests soon."""
    return Service(responder or FakeResponder(), settings=Settings(**{"deadline": 20.0, "grace": 0.5} | settings))


@contextlib.contextmanager
def client_of(service: Service, *, routers: Iterable[APIRouter] = ()) -> Iterator[TestClient]:
    """Yield a client in this process; exceptions of the server are answers."""
    with TestClient(create_app(service, routers=routers), base_url=BASE, raise_server_exceptions=False) as client:
        yield client


@contextlib.contextmanager
def served(service: Service, *, routers: Iterable[APIRouter] = ()) -> Iterator[str]:
    """Yield the address of a real server, in a thread, on a free port."""
    bound = bind("127.0.0.1", 0)
    started = threading.Event()
    server = GracefulServer(new_config(service, routers=routers), service, started.set)
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    address = address_of(bound).rstrip("/")
    thread.start()
    assert started.wait(20)
    try:
        yield address
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def until(condition: Callable[[], Any], *, seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition does not hold in time"
        time.sleep(0.005)


def events_of(text: str) -> list[tuple[str, str]]:
    """Return the name and the data of each event of a stream, by the letter of the specification."""
    events = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        fields = dict(line.split(": ", 1) for line in lines)
        if fields:
            events.append((fields.get("event", "message"), fields["data"]))
    return events


def error_of(answer: Any, status: int) -> dict[str, Any]:
    """Return the error of a response, which must have the format of all errors."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["content-type"] == "application/json" and answer.headers["x-request-id"]
    return dict(body["error"])

"""A server with a store in this process, and its clients."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from convmodel.responders.protocol import Responder
from convmodel.serving.app import create_app
from convmodel.serving.auth import Keys
from convmodel.serving.conversations.service import Conversations
from convmodel.serving.server import bind
from convmodel.serving.service import Service
from convmodel.serving.settings import Settings
from convmodel.serving.store import Store


@dataclass
class Talk:
    """A client of a server.

    Args:
        http: the HTTP client.
        service: the server's service.
        store: the service's store.
        conversations: the application's conversations.
    """

    http: TestClient
    service: Service
    store: Store
    conversations: Conversations

    def create(self, **body: Any) -> str:
        """Create a conversation; return its id."""
        answer = self.http.post("/conversations", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def ask(self, id: str, what: str, *, status: int = 200, key: str | None = None, **body: Any) -> Any:
        """Send a request to a conversation; return the JSON of the answer."""
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = self.http.post(f"/conversations/{id}/{what}", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    def say(self, id: str, text: str, **others: Any) -> Any:
        """Add a turn."""
        return self.ask(id, "turns", text=text, **others)

    def read(self, id: str) -> Any:
        """Return the conversation."""
        answer = self.http.get(f"/conversations/{id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def texts(self, id: str) -> list[str]:
        """Return the texts of its turns."""
        return [turn["text"] for turn in self.read(id)["turns"]]


@contextlib.contextmanager
def served(
    responder: Responder,
    address: str,
    *,
    settings: Settings | None = None,
    keep_for: timedelta | None = None,
    keys: bool = False,
    **others: Any,
) -> Iterator[Talk]:
    """Serve a Responder to a client in this process."""
    store = Store(address)
    known = Keys(store.digests if keys else None)
    service = Service(responder, settings=settings or Settings(), keys=known, store=store, keep_for=keep_for, **others)
    app = create_app(service)
    with TestClient(app, base_url="http://localhost") as http:
        yield Talk(http, service, store, app.state.turns.conversations)


@contextlib.contextmanager
def listening(responder: Responder, address: str, **others: Any) -> Iterator[tuple[str, FastAPI]]:
    """Serve a Responder on a port; yield the address and the application. For clients that stream, or disconnect."""
    app = create_app(Service(responder, store=Store(address), **others))
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    bound = bind("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([bound],))
    with bound:
        thread.start()
        try:
            yield f"http://localhost:{bound.getsockname()[1]}", app
        finally:
            server.should_exit = True
            thread.join()


def events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of the events of a stream."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))

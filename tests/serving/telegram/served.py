"""The server's application over real HTTP, with a responder that a test can pause, and with faults."""

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convmodel.serving.app import create_app
from convmodel.serving.auth import Keys
from convmodel.serving.service import Service
from convmodel.serving.store import Store
from tests.fakes import FakeResponder


class Served:
    """A server that replies to a turn with "re:" and its text.

    Args:
        folder: folder of the store.
        seconds: delay before each word of a reply.
        keys: accepted API keys.
    """

    def __init__(self, folder: Path, *, seconds: float = 0.0, keys: Keys | None = None) -> None:
        self.words: list[str] | None = None
        self.responder = FakeResponder(self._write, seconds=seconds, hold=1)
        self.faults: list[int | None] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.url = ""
        self._keys = keys
        self._store = Store(f"sqlite:///{folder / 'server.db'}")
        self.go_on()

    def _write(self, context: Sequence[str], seed: int, options: Mapping[str, Any]) -> str:
        return f"re: {context[-1]}" if self.words is None else " ".join(self.words)

    # Control by a test

    def hold(self) -> None:
        """Pause replies after their first word."""
        self.responder.held.clear()
        self.responder.go_on.clear()

    def go_on(self) -> None:
        """Continue paused replies."""
        self.responder.go_on.set()

    async def held(self) -> None:
        """Wait until a reply is paused after its first word, and its user's turn is stored: it may be stopped then."""
        await asyncio.to_thread(self.responder.held.wait, 20)
        while not self._kept.running:
            await asyncio.sleep(0.01)

    def stop_all(self) -> None:
        """Cut off the replies in progress, as the end of the server would."""
        for reply in self._kept.running.values():
            reply.cancel()

    async def conversations(self) -> list[Any]:
        """Return all conversations, the oldest first."""
        summaries, _ = await self._kept.listing("local", limit=200, before=None)
        return [await self._kept.load("local", summary.id) for summary in reversed(summaries)]

    async def turns(self) -> list[str]:
        """Return the turns of all conversations, one after the other."""
        return [turn.text for conversation in await self.conversations() for turn in conversation.turns]

    async def delete_all(self) -> None:
        """Delete all conversations."""
        await self._kept.delete_all("local")

    # HTTP

    async def __aenter__(self) -> "Served":
        app = create_app(Service(self.responder, title="a fake", keys=self._keys or Keys(), store=self._store))
        self._kept = app.state.turns.conversations
        self._server = uvicorn.Server(
            uvicorn.Config(Faulty(app, self), log_config=None, port=0, lifespan="on", ws="none")
        )
        self._server.capture_signals = threading.Lock  # type: ignore[method-assign, assignment]
        self._serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.005)
        [socket] = self._server.servers[0].sockets
        self.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go_on()
        self._server.should_exit = True
        await self._serving


class Faulty:
    """Passes requests to an application, and applies the next fault to each request about conversations.

    A fault is a status; or a connection that breaks, before the request is processed (0) or after (-1); or None.
    """

    def __init__(self, app: ASGIApp, served: Served) -> None:
        self._app = app
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/conversations"):
            await self._app(scope, receive, send)
            return
        body = (await receive()).get("body", b"")
        content: Any = json.loads(body) if body else None
        headers = {name: value.decode() for name, value in scope["headers"]}
        if b"idempotency-key" in headers:
            content["key"] = headers[b"idempotency-key"]
        self._served.requests.append((scope["method"], scope["path"], content))
        fault = self._served.faults.pop(0) if self._served.faults else None
        if fault is not None and fault > 0:
            error = {"message": "it went wrong", "type": "server_error" if fault >= 500 else "rate_limit_error"}
            await JSONResponse({"error": error}, fault, {"Retry-After": "0"})(scope, receive, send)
            return
        if fault != 0:
            await self._app(scope, _again(body, receive), _nowhere if fault == -1 else send)
        if fault is not None:  # uvicorn breaks the connection of an answer that is not whole
            head: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]}
            await send(head)


def _again(body: bytes, receive: Receive) -> Receive:
    received: list[bool] = []

    async def once() -> Message:
        if received:
            return await receive()
        received.append(True)
        return {"type": "http.request", "body": body, "more_body": False}

    return once


async def _nowhere(message: Message) -> None:
    pass

"""A server with the page, which can stop and start again."""

import os
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn

from convmodel.serving.app import create_app
from convmodel.serving.service import Service
from convmodel.serving.store import Store
from tests.fakes import FakeDocuments, FakeResponder

SLOW = 30_000
"""Time limit of a browser on a busy machine, in milliseconds."""


def chromium() -> str | None:
    """Return the path of the browser; None if there is none."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)


class Site:
    """A server in threads of this process.

    Args:
        folder: the folder of the store.
        responder: the responder.
        writer: a document writer instead.
        service: further arguments of `Service`.
    """

    def __init__(
        self, folder: Path, responder: FakeResponder, *, writer: FakeDocuments | None = None, **service: Any
    ) -> None:
        self.responder, self._writer, self._folder, self._service = responder, writer, folder, service
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> "Site":
        """Start, with what was stored before."""
        responder = self.responder if self._writer is None else None
        store = None if responder is None else Store(f"sqlite:///{self._folder / 'store.db'}")
        service = Service(responder, writer=self._writer, title="Anna", store=store, **self._service)
        app = create_app(service)
        config = uvicorn.Config(
            app, port=self._port, log_config=None, access_log=False, timeout_graceful_shutdown=1, lifespan="on"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        until = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < until and self._thread.is_alive(), "the server does not start"
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """Stop, if it runs."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(10)
        self._server = self._thread = None

    def __enter__(self) -> "Site":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.responder.go_on.set()
        self.stop()

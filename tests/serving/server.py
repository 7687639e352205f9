"""A server on a FakeResponder, in a process of its own: `python -m tests.serving.server STORE [SECONDS_A_WORD]`.

The first line of its output is the address.
"""

import os
import subprocess
import sys
from pathlib import Path

from convmodel.serving.server import address_of, bind, run
from convmodel.serving.service import Service
from convmodel.serving.settings import Settings
from convmodel.serving.store import Store
from tests.fakes import FakeResponder


class Process:
    """Such a server, started and answering.

    Args:
        store: the address of its store.
        seconds: the delay before each word of a reply.
        wait: whether to wait until it answers.
    """

    def __init__(self, store: str, *, seconds: float = 0.0, wait: bool = True) -> None:
        root = Path(__file__).parents[2]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.serving.server", store, str(seconds)],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip() if wait else ""
        assert self.url or not wait, self.errors()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self.url.rstrip("/").rpartition(":")[2])

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        self.process.kill()
        if not self.process.stdout or not self.process.stdout.closed:
            self.errors()

    def terminate(self) -> str:
        """Terminate it, as an init system would; return its stderr."""
        self.process.terminate()
        return self.errors()

    def errors(self) -> str:
        """Wait for its end; return its stderr."""
        return self.process.communicate(timeout=30)[1]


def serve(store: str, seconds: float) -> None:
    """Serve until a signal."""
    service = Service(FakeResponder(seconds=seconds), settings=Settings(grace=0.2), store=Store(store))
    bound = bind("127.0.0.1", 0)
    run(service, bound, started=lambda _: print(address_of(bound), flush=True))


if __name__ == "__main__":
    serve(sys.argv[1], float(sys.argv[2]))

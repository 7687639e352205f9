"""A responder that shows what its reply depends on, and a client of a server with it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeResponder
from tests.serving.talking import Talk, served


def echo(context: Sequence[str], seed: int, options: Mapping[str, Any]) -> str:
    """Everything that a reply depends on."""
    return f"{'|'.join(context)} #{seed}"


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def responder() -> FakeResponder:
    return FakeResponder(echo)


@pytest.fixture
def talk(responder: FakeResponder, address: str) -> Iterator[Talk]:
    with served(responder, address) as talk:
        yield talk

"""A saved model, contexts and personas."""

import random
from pathlib import Path

import pytest

from convmodel.models.conversation_model import ConversationModel
from tests.conftest import random_turns


@pytest.fixture
def folder(model: ConversationModel, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def contexts() -> list[list[str]]:
    """Ragged: one to eight turns, a few longer than the window."""
    source = random.Random(0)
    return [random_turns(source) for _ in range(16)] + [["Hello there. How are you?"] * 30, ["Hello " * 80]]


@pytest.fixture
def personas(contexts: list[list[str]]) -> list[list[str]]:
    """One for every third context."""
    return [["I like music."] if n % 3 == 0 else [] for n in range(len(contexts))]

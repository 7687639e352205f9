"""Helpers shared by the data modules."""

import pytest

pytest.importorskip("pytorch_lightning")

from convmodel.training.datamodules.base import long_persona_message, window_length


def test_a_window_is_as_long_as_the_model_allows_unless_a_shorter_one_is_given() -> None:
    assert window_length(None, 64) == window_length(64, 64) == 64
    assert window_length(10, 64) == 10
    with pytest.raises(ValueError, match=r"data\.max_length=65, but the model reads 64 tokens at most"):
        window_length(65, 64)


def test_a_conversation_is_numbered_from_1_in_an_error() -> None:
    text = long_persona_message("train.jsonl", 0, 64, "data.max_length")
    assert text.startswith("train.jsonl: conversation 1 has a persona that leaves no room for a turn in 64 tokens")

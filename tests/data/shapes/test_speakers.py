"""Utterances of several speakers: the forms in which they are found, and their turns."""

from typing import Any

import pytest

from convmodel.data.data_file import Notes
from convmodel.data.shapes.speakers import Said, holds_utterances, join_said, names_speaker, read_utterances


def test_consecutive_utterances_of_one_speaker_are_a_turn() -> None:
    said = [Said("x", "a"), Said("x", "b"), Said("y", " "), Said("y", "c"), Said(5, "d")]
    assert join_said(said, Notes()).turns == ["a\nb", "c", "d"]


def test_roles_with_an_assistant_are_messages() -> None:
    notes = Notes()
    said = [Said("System", "p"), Said("USER", "a"), Said("Bot", "b"), Said("tool", "x")]
    assert join_said(said, notes)[:2] == (["a", "b"], ["p"])
    assert notes.left_out == {"tool message": 1}
    assert join_said([Said("USER", "a"), Said("SYSTEM", "b")], notes)[:2] == (["a", "b"], [])
    assert join_said([Said("bot", "a"), Said("Ida", "b")], notes)[:2] == (["a", "b"], [])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["a", "b"], [(1, "a"), (2, "b")]),
        ([{"text": "a"}, {"sender": 7, "message": "b"}], [(1, "a"), (7, "b")]),
        ([["a", "b"], ["c"]], [(1, "a"), (2, "b"), (3, "c")]),
        ({"text": ["a", "b"]}, [(1, "a"), (2, "b")]),
        ({"utterance": ["a", "b"], "speaker": ["x", "y"]}, [("x", "a"), ("y", "b")]),
        ({"utterance": ["a", "b"], "speaker": ["x"]}, [(1, "a"), (2, "b")]),
        ([], []),
    ],
)
def test_utterances_are_found_in_any_form(value: Any, said: Any) -> None:
    assert read_utterances(value) == said


def test_utterances_and_messages_are_told_apart() -> None:
    assert holds_utterances([{"speaker": "x", "text": "a"}]) and holds_utterances([[{"text": "a"}]])
    others: list[Any] = [[{"role": "x", "text": "a"}], ["a"], [], {}, {"text": "a"}, [{"x": 1}], [[]], None]
    assert not any(map(holds_utterances, others))
    assert names_speaker({"speaker": 1, "text": "a"}) and not names_speaker({"text": "a"})

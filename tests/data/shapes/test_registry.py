"""Names of keys and columns: the shapes that they select."""

from typing import Any

import pytest

from convmodel.data.options import ReadOptions
from convmodel.data.shapes.registry import SHAPES, fits_shape, list_names, match_shapes


def first(*names: str, columns: str | None = None) -> tuple[str, dict[str, str]]:
    shape, roles = match_shapes(names, ReadOptions(columns=columns))[0]
    return shape.name, roles


def test_names_are_compared_in_lower_case_and_kept_as_written() -> None:
    assert first("ID", " Question ", "Answer") == (
        "question and answer",
        {"context": " Question ", "response": "Answer"},
    )
    assert match_shapes(["title", "body"], ReadOptions()) == []


def test_the_most_specific_shape_is_first() -> None:
    assert first("instruction", "context", "response")[0] == "instruction, context and response"
    assert first("turns", "messages", "prompt", "completion") == ("", {"turns": "turns"})
    assert first("instruction", "input", "output", "system")[1].keys() == {"context", "input", "response", "system"}
    assert first("conv_id", "message", "author")[0] == "one utterance a row"


def test_given_columns_take_the_place_of_known_names() -> None:
    assert first("Frage", "context", "x", columns="context=frage,response=X")[1] == {
        "context": "Frage",
        "response": "x",
    }
    with pytest.raises(ValueError, match=r"columns=\.\.\. names 'y', which does not exist; there are 'a'"):
        match_shapes(["a"], ReadOptions(columns="context=y,response=a"))
    with pytest.raises(ValueError, match="names too few columns; name turns, messages, context and response, or id"):
        match_shapes(["a"], ReadOptions(columns="persona=a"))


def test_equal_names_are_told() -> None:
    assert list_names([" A ", "b"]) == {"a": " A ", "b": "b"}
    with pytest.raises(ValueError, match="two columns have one name, 'a', ' A'; rename one of them"):
        list_names(["a", "b", " A"])


def test_a_value_may_be_a_conversation() -> None:
    conversations: list[Any] = [["a"], [{"role": "user", "content": "a"}], {"turns": []}, {"Question": 1, "answer": 2}]
    for value in conversations:
        assert fits_shape(value, ReadOptions())
    for value in ([], [["a"]], [{"id": 1}], {"data": []}, "a", 5, None):
        assert not fits_shape(value, ReadOptions())


def test_every_shape_says_its_names() -> None:
    assert all(all(name == name.lower() for name in shape.roles.values()) for shape in SHAPES)
    names = [shape.name for shape in SHAPES if shape.name]
    assert len(names) == len(set(names))

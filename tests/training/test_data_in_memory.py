"""Conversations, examples and documents in memory, written to files as the data modules read them."""

from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import Conversation, read_conversations
from convmodel.data.document import Document, read_documents
from convmodel.data.selection_example import SelectionExample, read_selection_examples
from convmodel.training.data_in_memory import to_files


def write(data: Any, folder: Path, noun: str = "conversations") -> Any:
    return to_files(data, folder / "out.jsonl", role="train", noun=noun)


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        ("a.jsonl", "a.jsonl"),
        (Path("a"), "a"),
        ("hub://org/name", "hub://org/name"),
        (["a", Path("b")], ["a", "b"]),
        (iter([Path("a")]), ["a"]),
    ],
)
def test_paths_are_returned_and_nothing_is_written(tmp_path: Path, data: Any, paths: Any) -> None:
    assert write(data, tmp_path) == paths
    assert not [*tmp_path.iterdir()]


def test_conversations_are_written_in_their_order_without_meta(tmp_path: Path) -> None:
    named = Conversation(["Hi", "Hello", "Bye"], persona=["I am Bo."], meta={"of": object()}, speakers=["A", "A", "B"])
    file = write((each for each in (["Hello", "Hi"], named, ("a", "b"))), tmp_path)
    assert [*read_conversations(file)] == [
        Conversation(["Hello", "Hi"]),
        Conversation(named.turns, named.persona, speakers=named.speakers),
        Conversation(["a", "b"]),
    ]


def test_selection_examples_keep_response_distractors_and_persona(tmp_path: Path) -> None:
    example = SelectionExample(("Tea?",), ("No.", "Yes.", "Perhaps."), 1, ("I like tea.",))
    [read] = read_selection_examples(write([example], tmp_path))
    assert (read.context, read.response, read.distractors, read.persona) == (
        example.context,
        "Yes.",
        ("No.", "Perhaps."),
        example.persona,
    )


def test_documents_are_texts_or_documents(tmp_path: Path) -> None:
    file = write(["A cat.\nA dog.", Document("Rain", {"town": "Northport"})], tmp_path, "documents")
    assert [*read_documents(file)] == [Document("A cat.\nA dog."), Document("Rain", {"town": "Northport"})]
    assert write([Path("a"), Path("b")], tmp_path, "documents") == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "noun", "message"),
    [
        ([], "conversations", "train is empty; give at least one of the conversations, or a path"),
        (3, "conversations", "train is the number 3"),
        ([["a", "b"], ["alone"]], "conversations", "train, conversation 2: there is only one turn"),
        ([["a", "b"], ["a", ""]], "conversations", "train, conversation 2: turn 2 is empty"),
        ([["a", "b"], "a b"], "conversations", "train, conversation 2: the turns are"),
        (["a", ["b", "c"]], "conversations", "train, number 2 is"),
        ([SelectionExample(("a",), ("b",), 0), ["a", "b"]], "conversations", "train, example 2 is"),
        ([Document("a")], "conversations", "train, conversation 1 is a Document"),
        (["text", " "], "documents", "train, document 2: body is only white space"),
        ([["a", "b"]], "documents", "train, document 1 is"),
    ],
)
def test_an_item_that_cannot_be_used_is_named(tmp_path: Path, data: Any, noun: str, message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        write(data, tmp_path, noun)
    assert message in str(raised.value)


def test_a_path_among_texts_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A cat.")
    with pytest.raises(ValueError, match="the path of a file; give files in a list as Path"):
        write([str(tmp_path / "a.txt")], tmp_path, "documents")

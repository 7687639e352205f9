"""Records of JSON values and rows: pairs, messages, instructions, and utterances."""

from typing import Any

import pytest

from convmodel.data.data_file import Notes
from convmodel.data.formats.base import Item, Problem, Record
from convmodel.data.options import ReadOptions
from convmodel.data.shapes import utterances
from convmodel.data.shapes.reading import read_items


def read(*values: Any, notes: Notes | None = None, cells: bool = False, **options: Any) -> list[Record | Problem]:
    items = [Item(number, value) for number, value in enumerate(values, 1)]
    return list(read_items(items, ReadOptions(**options), notes or Notes(), cells=cells))


@pytest.mark.parametrize(
    ("value", "turns", "persona", "meta"),
    [
        ({"prompt": "a", "completion": "b", "n": 1}, ["a", "b"], [], {"n": 1}),
        ({"instruction": "a", "input": "b", "output": "c"}, ["a\nb", "c"], [], None),
        ({"instruction": "a", "input": " ", "output": "c", "system": "p\nq"}, ["a", "c"], ["p", "q"], None),
        ({"instruction": "a", "context": "", "response": "c", "category": "x"}, ["a", "c"], [], {"category": "x"}),
        ({"question": ["a", "b", "c"], "answer": "d"}, ["a", "b", "c", "d"], [], None),
        ({"context": "a", "response": "b", "system": "p"}, ["a", "b"], [], {"system": "p"}),
        ({"conversations": ["a", "b"]}, ["a", "b"], [], None),
        (
            {
                "prompt": [{"role": "system", "content": "p"}, {"role": "user", "content": "a"}],
                "completion": [{"role": "assistant", "content": "b"}],
            },
            *(["a", "b"], ["p"], None),
        ),
        ({"prompt": [{"role": "user", "content": "a"}], "completion": "b"}, ["a", "b"], [], None),
    ],
)
def test_an_object_becomes_turns_persona_and_meta(value: Any, turns: Any, persona: Any, meta: Any) -> None:
    [record] = read(value)
    assert isinstance(record, Record)
    assert (record.turns, list(record.persona), record.meta) == (turns, persona, meta)


def test_a_persona_may_be_one_text_in_a_table_and_where_its_column_is_named() -> None:
    value = {"context": "a", "response": "b", "persona": "p\nq"}
    assert [record.persona for record in read(dict(value), cells=True)] == [["p", "q"]]  # type: ignore[union-attr]
    named = read(dict(value), columns="context=context,response=response,persona=persona")
    assert [record.persona for record in named] == [["p", "q"]]  # type: ignore[union-attr]
    assert [record.persona for record in read(dict(value))] == ["p\nq"]  # type: ignore[union-attr]


def test_what_was_recognised_and_left_out_is_noted() -> None:
    notes = Notes()
    tool = {"role": "tool", "content": "x"}
    read({"question": "a", "answer": "b"}, {"messages": [tool, tool]}, {"question": "a", "answer": "b"}, notes=notes)
    assert (notes.recognised, notes.left_out) == (["question and answer"], {"tool message": 2})


def utterance(identity: Any, speaker: Any, text: Any, **more: Any) -> dict[str, Any]:
    return {"conversation_id": identity, "speaker": speaker, "text": text, **more}


def test_consecutive_utterances_of_one_conversation_are_grouped() -> None:
    rows = [utterance(1, "x", "a"), utterance(1, "x", "b"), utterance(1, "y", "c"), utterance(2, "x", "d")]
    records = read(*rows, ["e", "f"], utterance(2, "x", "g"))
    assert [record.turns for record in records] == [["a\nb", "c"], ["d"], ["e", "f"], ["g"]]  # type: ignore[union-attr]
    assert [record.line for record in records] == [1, 4, 5, 6]


def test_utterances_of_known_roles_are_messages_and_of_nobody_turns() -> None:
    rows = [utterance(1, "System", "p"), utterance(1, "Customer", "a"), utterance(1, "Agent", "b")]
    [record] = read(*rows)
    assert (record.turns, record.persona) == (["a", "b"], ["p"])  # type: ignore[union-attr]
    rows = [{"dialogue_id": "x", "utterance": text} for text in "abc"]
    assert [record.turns for record in read(*rows)] == [["a", "b", "c"]]  # type: ignore[union-attr]


def test_an_utterance_that_cannot_be_used_costs_its_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utterances, "_MAX_UTTERANCES", 3)
    rows = [utterance(1, "x", "a"), utterance(1, "y", 5), utterance(2, "x", "b"), utterance(2, "y", "c")]
    problem, record, long = read(*rows, *[utterance(3, "x", "d")] * 5)
    assert isinstance(problem, Problem) and (problem.line, problem.message[:25]) == (2, "the text is the number 5,")
    assert isinstance(record, Record) and record.turns == ["b", "c"]
    assert isinstance(long, Problem) and "more than 3 utterances; split it" in long.message

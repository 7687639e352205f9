"""Mined distractors, against the scores of every pair."""

from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.data.conversation import Conversation, write_conversations
from convmodel.data.selection_example import read_selection_examples
from convmodel.models.selection.hard_negatives import mine
from tests.models.selection.conftest import MakeSelector

CONVERSATIONS = [
    Conversation(("Hello", "Hi", "How are you?", "I am fine"), ("I like rain.",)),
    Conversation(("Where do you live?", "By the sea", "How nice")),
    Conversation(("Hello", "Hi", "No")),
]
RESPONSES = ["Hi", "How are you?", "I am fine", "By the sea", "How nice", "No"]


def test_distractors_are_the_best_scored_texts_other_than_the_response_and_the_turns(
    make_selector: MakeSelector, tmp_path: Path
) -> None:
    selector = make_selector()
    write_conversations(CONVERSATIONS, tmp_path / "in.jsonl")
    progress: list[int] = []
    for skip in (0, 1):
        assert (
            mine(
                selector,
                tmp_path / "in.jsonl",
                tmp_path / "out.jsonl",
                negatives=2,
                skip=skip,
                progress=progress.append,
            )
            == 7
        )
        examples = list(read_selection_examples(tmp_path / "out.jsonl"))
        assert [example.response for example in examples] == [
            "Hi",
            "How are you?",
            "I am fine",
            "By the sea",
            "How nice",
            "Hi",
            "No",
        ]
        assert [example.persona for example in examples[:3]] == [("I like rain.",), (), ("I like rain.",)]
        for example in examples:
            [scores] = selector.score([example.context], RESPONSES, personas=[example.persona]).tolist()
            ranked = sorted(zip(scores, RESPONSES, strict=True), reverse=True)
            allowed = [text for _, text in ranked if text not in (*example.context, example.response)]
            assert list(example.distractors) == allowed[skip : skip + 2]
    assert progress == [7, 7]


def test_the_command_replaces_the_distractors_of_examples_that_have_some(
    make_selector: MakeSelector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_selector().save_pretrained(tmp_path / "model")
    lines = [f'{{"context": ["a{n}"], "response": "b{n}", "distractors": ["c"]}}' for n in range(5)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    arguments = ["--model", str(tmp_path / "model"), "--input", str(tmp_path / "in.jsonl")]
    assert main(["mine", *arguments, "--output", str(tmp_path / "out.jsonl"), "--negatives", "3"]) == 0
    assert "5 examples written" in capsys.readouterr().out
    for index, example in enumerate(read_selection_examples(tmp_path / "out.jsonl")):
        others = {f"b{n}" for n in range(5) if n != index}
        assert len(set(example.distractors)) == 3 and set(example.distractors) <= others


def test_equal_responses_and_wrong_counts_are_refused(make_selector: MakeSelector, tmp_path: Path) -> None:
    write_conversations([Conversation(("Hello", "Hi")), Conversation(("Bye", "Hi"))], tmp_path / "in.jsonl")
    with pytest.raises(ValueError, match="all responses are the same text"):
        mine(make_selector(), tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    with pytest.raises(ValueError, match="negatives=0, skip=0"):
        mine(make_selector(), tmp_path / "in.jsonl", tmp_path / "out.jsonl", negatives=0)
    assert not (tmp_path / "out.jsonl").exists()

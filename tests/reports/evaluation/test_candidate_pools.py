"""Candidates of a file, or drawn from its other conversations: which they are, and what is refused."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError, write_conversations
from convmodel.metrics.words import words
from convmodel.reports.evaluation.candidate_pools import DEFAULT_POOL, read_pools
from convmodel.reports.evaluation.examples import EvaluationOptions
from tests.reports.evaluation.helpers import some_conversations

Write = Callable[[Sequence[object] | str], str]

GIVEN = [
    {"context": ["Where do you live?"], "response": "By the sea.", "distractors": ["In tea.", "No.", "No."]},
    {"persona": ["I am Ann."], "turns": ["Hello", "Hi", "Who are you?"], "candidates": ["Bob.", "It rains.", "Ann."]},
    {"context": ["Where do you live?", "By the sea.", "Nice!"], "response": "It is.", "distractors": ["Why?"]},
]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(content: Sequence[object] | str) -> str:
        path = tmp_path / "data"
        text = content if isinstance(content, str) else "".join(json.dumps(line) + "\n" for line in content)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return make


def test_candidates_of_the_file_are_taken_as_they_are(write: Write) -> None:
    found = read_pools(write(GIVEN), EvaluationOptions(), "stop")
    assert found.candidates == {"from": "the file"} and not found.notes
    assert [(one.conversation, one.line, one.example.response) for one in found.examples] == [
        (1, 1, "By the sea."),
        (1, 3, "It is."),  # its context begins like that of line 1
        (2, 2, "Ann."),
    ]
    assert found.examples[0].example.candidates == ("In tea.", "No.", "By the sea.")
    assert (found.data["conversations"], found.data["examples"], found.data["skipped"]) == (2, 3, 0)


@pytest.mark.parametrize(
    "content",
    [
        "1 your persona: i fly .\n2 hello\thi , you ?\t\tno .|hi , you ?|a dog\n3 fine\tgood\t1\tno .|good|yes\n",
        '"Context","Ground Truth Utterance",Distractor_0\n"a __eou__ __eot__ ","e __eou__",h __eou__\n',
        "text:hello\tlabels:hi\tlabel_candidates:no|hi|a dog\tepisode_done:True\n",
    ],
)
def test_candidates_of_other_formats_are_found(write: Write, content: str) -> None:
    found = read_pools(write(content), EvaluationOptions(), "stop")
    assert found.candidates == {"from": "the file"}
    assert len({one.conversation for one in found.examples}) == 1
    assert all(len(one.example.candidates) > 1 for one in found.examples)


def test_a_limit_takes_whole_conversations(write: Write) -> None:
    lines = [
        {"context": [f"{talk}"] + ["x"] * turn, "response": "r", "distractors": ["s"]}
        for talk in range(6)
        for turn in (0, 2)
    ]
    found = read_pools(write(lines), EvaluationOptions(limit=3), "stop")
    assert [(one.conversation, one.line) for one in found.examples] == [(1, 1), (1, 2), (3, 5), (3, 6), (5, 9), (5, 10)]


def test_examples_without_a_distractor_are_left_out_and_told(write: Write) -> None:
    lines = [*GIVEN, {"context": ["a"], "response": "b", "distractors": []}]
    found = read_pools(write(lines), EvaluationOptions(), "stop")
    assert len(found.examples) == 3 and found.notes == ["1 example without a distractor left out."]
    with pytest.raises(ValueError, match="data: no reply has a distractor, so there is nothing to choose between"):
        read_pools(write("Context,Utterance,Label\na __eot__,b,1\n"), EvaluationOptions(), "stop")


@pytest.mark.parametrize("options", [EvaluationOptions(turns="all"), EvaluationOptions(pool=10)])
def test_options_for_drawing_are_refused_where_nothing_is_drawn(write: Write, options: EvaluationOptions) -> None:
    with pytest.raises(ValueError, match=r"data: (turns=all|pool=10) means nothing here"):
        read_pools(write(GIVEN), options, "stop")


def test_what_cannot_be_read_is_told_with_its_line_or_skipped_and_counted(write: Write) -> None:
    path = write([GIVEN[0], {"context": ["a"], "response": "", "distractors": ["b"]}, ["plain", "turns"], GIVEN[1]])
    with pytest.raises(ConversationFileError, match="data:2: response 1 is empty"):
        read_pools(path, EvaluationOptions(), "stop")
    found = read_pools(path, EvaluationOptions(), "skip")
    assert [one.line for one in found.examples] == [1, 4] and found.data["skipped"] == 2


@pytest.fixture
def talks(tmp_path: Path) -> str:
    conversations = [Conversation([f"Hello {n}", f"Reply {n % 30}!", f"Why {n}?", f"For {n}."]) for n in range(60)]
    conversations += [Conversation(["Well", f"reply {n}"], ["I am Ann."]) for n in range(5)]
    write_conversations(conversations, tmp_path / "talks.jsonl")
    return str(tmp_path / "talks.jsonl")


def test_distractors_are_other_replies_of_other_conversations(talks: str) -> None:
    found = read_pools(talks, EvaluationOptions(turns="all", pool=8), "stop")
    lines = [json.loads(line) for line in Path(talks).read_text(encoding="utf-8").splitlines()]
    turns = [line if isinstance(line, list) else line["turns"] for line in lines]
    assert len(found.examples) == 60 * 3 + 5
    for one in found.examples:
        example, own = one.example, turns[one.conversation - 1]
        said = [words(text) for text in example.candidates]
        assert one.line == one.conversation and example.response == own[len(example.context)]
        assert len({tuple(each) for each in said}) == len(said) == 8  # none says what another says
        replies = {text for number, each in enumerate(turns, 1) if number != one.conversation for text in each[1:]}
        assert set(example.distractors) <= replies
    assert found.examples[-1].example.persona == ("I am Ann.",)
    assert "stands among 7 replies of other conversations" in found.notes[0] and len(found.notes) == 1


def test_the_draw_depends_on_the_seed_alone(talks: str) -> None:
    options = EvaluationOptions(turns="all", pool=8)
    one, two, other, fewer = (
        read_pools(talks, each, "stop")
        for each in (options, options, replace(options, seed=1), replace(options, limit=7))
    )
    assert one.examples == two.examples
    assert all(
        a.example.distractors != b.example.distractors for a, b in zip(one.examples, other.examples, strict=True)
    )
    assert set(map(repr, fewer.examples)) < set(map(repr, one.examples))  # neighbours change nothing


def test_every_other_reply_is_drawn_about_as_often_as_it_is_said(tmp_path: Path) -> None:
    source = random.Random(0)
    replies = [source.choice(["often"] * 3 + ["a", "b", "c"]) for _ in range(400)]
    write_conversations([Conversation(["Hello", text]) for text in replies], tmp_path / "talks.jsonl")
    found = read_pools(str(tmp_path / "talks.jsonl"), EvaluationOptions(pool=2), "stop")
    said = [one.example.distractors[0] for one in found.examples if one.example.response == "a"]
    assert said.count("often") / len(said) == pytest.approx(3 / 5, abs=0.15)
    assert min(said.count("b"), said.count("c")) > 0 and "a" not in said


def test_where_there_are_too_few_replies_pools_are_smaller_and_that_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "talks.jsonl")
    write_conversations(some_conversations(), path)
    found = read_pools(path, EvaluationOptions(), "stop")
    assert max(len(one.example.candidates) for one in found.examples) < DEFAULT_POOL
    assert "there were not that many different ones" in found.notes[1]


@pytest.mark.parametrize("talks", [[["a", "b"]], [["a", "b"], ["c", "B!"]]])
def test_nothing_to_draw_from_is_an_error(write: Write, talks: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="data: there are no candidates in it, and no other conversations"):
        read_pools(write(talks), EvaluationOptions(), "stop")


def test_a_pool_of_one_is_no_choice() -> None:
    with pytest.raises(ValueError, match="pool=1; it must be at least 2"):
        EvaluationOptions(pool=1)


# Real files


@pytest.mark.data
def test_the_examples_of_a_dialogue_are_one_conversation(data_folder: Path) -> None:
    path = data_folder / "persona" / "valid.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    found = read_pools(str(path), EvaluationOptions(), "stop")
    assert (found.data["conversations"], len(found.examples)) == (84, 652)

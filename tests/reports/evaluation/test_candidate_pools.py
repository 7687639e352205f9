"""Candidates of a file, or drawn from its other conversations: which they are, and what is refused."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError, write_conversations
from convmodel.data.options import ReadOptions
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


def test_candidates_of_the_file_are_not_changed(write: Write) -> None:
    pools = read_pools(write(GIVEN), EvaluationOptions())
    assert pools.candidates == {"from": "the file"} and not pools.notes
    assert [(pool.conversation, pool.line, pool.example.response) for pool in pools.examples] == [
        (1, 1, "By the sea."),
        (1, 3, "It is."),  # its context begins like that of line 1
        (2, 2, "Ann."),
    ]
    assert pools.examples[0].example.candidates == ("In tea.", "No.", "By the sea.")
    assert (pools.data["conversations"], pools.data["examples"], pools.data["skipped"]) == (2, 3, 0)


@pytest.mark.parametrize(
    "content",
    [
        "1 your persona: i fly .\n2 hello\thi , you ?\t\tno .|hi , you ?|a dog\n3 fine\tgood\t1\tno .|good|yes\n",
        '"Context","Ground Truth Utterance",Distractor_0\n"a __eou__ __eot__ ","e __eou__",h __eou__\n',
        "text:hello\tlabels:hi\tlabel_candidates:no|hi|a dog\tepisode_done:True\n",
    ],
)
def test_candidates_of_other_formats_are_found(write: Write, content: str) -> None:
    pools = read_pools(write(content), EvaluationOptions())
    assert pools.candidates == {"from": "the file"}
    assert len({pool.conversation for pool in pools.examples}) == 1
    assert all(len(pool.example.candidates) > 1 for pool in pools.examples)


def test_a_limit_takes_whole_conversations(write: Write) -> None:
    lines = [
        {"context": [f"{talk}"] + ["x"] * turn, "response": "r", "distractors": ["s"]}
        for talk in range(6)
        for turn in (0, 2)
    ]
    pools = read_pools(write(lines), EvaluationOptions(limit=3))
    expected = [(1, 1), (1, 2), (3, 5), (3, 6), (5, 9), (5, 10)]
    assert [(pool.conversation, pool.line) for pool in pools.examples] == expected


def test_a_note_counts_examples_left_out_for_want_of_a_distractor(write: Write) -> None:
    lines = [*GIVEN, {"context": ["a"], "response": "b", "distractors": []}]
    pools = read_pools(write(lines), EvaluationOptions())
    assert len(pools.examples) == 3 and pools.notes == ["1 example without a distractor left out."]
    with pytest.raises(ValueError, match="data: no reply has a distractor, so there is nothing to choose between"):
        read_pools(write("Context,Utterance,Label\na __eot__,b,1\n"), EvaluationOptions())


@pytest.mark.parametrize("options", [EvaluationOptions(turns="all"), EvaluationOptions(pool=10)])
def test_sampling_options_are_rejected_for_files_with_candidates(write: Write, options: EvaluationOptions) -> None:
    with pytest.raises(ValueError, match=r"data: (turns=all|pool=10) has no effect, because the file"):
        read_pools(write(GIVEN), options)


def test_unreadable_lines_are_reported_or_skipped_and_counted(write: Write) -> None:
    path = write([GIVEN[0], {"context": ["a"], "response": "", "distractors": ["b"]}, ["plain", "turns"], GIVEN[1]])
    with pytest.raises(ConversationFileError, match="data:2: response 1 is empty"):
        read_pools(path, EvaluationOptions())
    pools = read_pools(path, EvaluationOptions(), ReadOptions(on_error="skip"))
    assert [pool.line for pool in pools.examples] == [1, 4] and pools.data["skipped"] == 2


@pytest.fixture
def talks(tmp_path: Path) -> str:
    conversations = [Conversation([f"Hello {n}", f"Reply {n % 30}!", f"Why {n}?", f"For {n}."]) for n in range(60)]
    conversations += [Conversation(["Well", f"reply {n}"], ["I am Ann."]) for n in range(5)]
    write_conversations(conversations, tmp_path / "talks.jsonl")
    return str(tmp_path / "talks.jsonl")


def test_distractors_are_replies_of_other_conversations(talks: str) -> None:
    pools = read_pools(talks, EvaluationOptions(turns="all", pool=8))
    lines = [json.loads(line) for line in Path(talks).read_text(encoding="utf-8").splitlines()]
    turns = [line if isinstance(line, list) else line["turns"] for line in lines]
    assert len(pools.examples) == 60 * 3 + 5
    for pool in pools.examples:
        example = pool.example
        own = turns[pool.conversation - 1]
        texts = [words(text) for text in example.candidates]
        assert pool.line == pool.conversation and example.response == own[len(example.context)]
        assert len(set(map(tuple, texts))) == len(texts) == 8  # all texts differ in their words
        replies = {text for index, others in enumerate(turns, 1) if index != pool.conversation for text in others[1:]}
        assert set(example.distractors) <= replies
    assert pools.examples[-1].example.persona == ("I am Ann.",)
    assert "is ranked among 7 replies of other conversations" in pools.notes[0] and len(pools.notes) == 1


def test_samples_depend_on_the_seed_alone(talks: str) -> None:
    options = EvaluationOptions(turns="all", pool=8)
    first = read_pools(talks, options)
    assert first.examples == read_pools(talks, options).examples
    other_seed = read_pools(talks, replace(options, seed=1))
    assert all(
        a.example.distractors != b.example.distractors for a, b in zip(first.examples, other_seed.examples, strict=True)
    )
    fewer = read_pools(talks, replace(options, limit=7))
    assert set(map(repr, fewer.examples)) < set(map(repr, first.examples))  # neighbours change nothing


def test_replies_are_sampled_about_as_often_as_they_occur(tmp_path: Path) -> None:
    source = random.Random(0)
    replies = [source.choice(["often"] * 3 + ["a", "b", "c"]) for _ in range(400)]
    write_conversations([Conversation(["Hello", text]) for text in replies], tmp_path / "talks.jsonl")
    pools = read_pools(str(tmp_path / "talks.jsonl"), EvaluationOptions(pool=2))
    texts = [pool.example.distractors[0] for pool in pools.examples if pool.example.response == "a"]
    assert texts.count("often") / len(texts) == pytest.approx(3 / 5, abs=0.15)
    assert min(texts.count("b"), texts.count("c")) > 0 and "a" not in texts


def test_a_note_says_that_pools_are_smaller_where_replies_are_few(tmp_path: Path) -> None:
    path = str(tmp_path / "talks.jsonl")
    write_conversations(some_conversations(), path)
    pools = read_pools(path, EvaluationOptions())
    assert max(len(pool.example.candidates) for pool in pools.examples) < DEFAULT_POOL
    assert "there were not that many different ones" in pools.notes[1]


@pytest.mark.parametrize("talks", [[["a", "b"]], [["a", "b"], ["c", "B!"]]])
def test_a_file_without_other_replies_is_an_error(write: Write, talks: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="data: there are no candidates in it, and no other conversations"):
        read_pools(write(talks), EvaluationOptions())


def test_a_pool_of_one_is_rejected() -> None:
    with pytest.raises(ValueError, match="pool=1; it must be at least 2"):
        EvaluationOptions(pool=1)


# Real files


@pytest.mark.data
def test_examples_of_one_dialogue_are_one_conversation(data_folder: Path) -> None:
    path = data_folder / "persona" / "valid.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    pools = read_pools(str(path), EvaluationOptions())
    assert (pools.data["conversations"], len(pools.examples)) == (84, 652)

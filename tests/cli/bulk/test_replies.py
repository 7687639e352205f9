"""Replies for a file: their form, their order, their seeds, and what happens when something goes wrong or is killed."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from convmodel.cli.bulk.job import ReplyJob
from convmodel.cli.bulk.journal import partial
from convmodel.data.conversation import Conversation, read_conversations
from convmodel.responders.protocol import Candidate, Reply
from tests.cli.bulk.harness import lines_of, many, run, write
from tests.fakes import FakeResponder

JOB = ReplyJob(FakeResponder(), input="in", output="out", digest="m")


def test_each_conversation_gets_a_line_with_its_reply_that_is_read_as_a_conversation(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["Hello"], {"turns": ["a", "b", "日本"], "persona": ["I like rain."], "id": 7}])
    result = run(tmp_path, FakeResponder(lambda context, *_: f"reply to {context[-1]}"))
    assert (result.lines, result.resumed, result.failed) == (2, 0, 0)
    first, second = read_conversations(tmp_path / "out.jsonl")
    assert first.turns == ("Hello", "reply to Hello")
    assert second.turns == ("a", "b", "日本", "reply to 日本") and second.persona == ("I like rain.",)
    assert second.meta is not None and second.meta["id"] == 7
    assert second.meta["responses"] == ["reply to 日本"] and second.meta["finish"] == "end"
    assert set(second.meta) == {"id", "responses", "finish", "seed", "turns_dropped"}
    assert not partial(tmp_path / "out.jsonl").exists()


def test_the_reply_can_replace_the_last_turn_which_is_kept_as_gold(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a", "b", "c"]])
    responder = FakeResponder()
    run(tmp_path, responder, last=True)
    [line] = lines_of(tmp_path / "out.jsonl")
    assert responder.requests[0]["context"] == ("a", "b") and line["turns"][:2] == ["a", "b"]
    assert line["gold"] == "c" and line["turns"][2:] == line["responses"]


def test_candidates_are_listed_best_first_with_their_scores(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a"]])
    run(tmp_path, options={"num_return_sequences": 3})
    [line] = lines_of(tmp_path / "out.jsonl")
    assert line["scores"] == [-1.0, -2.0, -3.0] and len(line["responses"]) == 3
    assert line["turns"][-1] == line["responses"][0]


def test_the_persona_applies_to_conversations_without_one(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a"], {"turns": ["b"], "persona": ["Mine."]}])
    responder = FakeResponder()
    run(tmp_path, responder, persona=("Yours.",))
    assert [request["persona"] for request in responder.requests] == [("Yours.",), ("Mine.",)]
    assert [line["persona"] for line in lines_of(tmp_path / "out.jsonl")] == [["Yours."], ["Mine."]]


def test_another_seed_gives_other_replies(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", many(20))
    run(tmp_path)
    run(tmp_path, output=str(tmp_path / "other.jsonl"), seed=1)
    first, second = (lines_of(tmp_path / name) for name in ("out.jsonl", "other.jsonl"))
    assert not {line["seed"] for line in first} & {line["seed"] for line in second}
    assert [line["responses"] for line in first] != [line["responses"] for line in second]


def test_a_reply_without_text_is_no_turn(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a"]])
    result = run(tmp_path, FakeResponder(lambda *_: " "))
    [line] = lines_of(tmp_path / "out.jsonl")
    assert line["turns"] == ["a"] and line["responses"] == [" "] and result.failed == 1
    assert "1 without a reply" in result.summary("out.jsonl")


# Errors


def test_a_conversation_without_a_turn_to_replace_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a", "b"], ["a"]])
    with pytest.raises(ValueError, match=r"in.jsonl:2: there is only one turn; a conversation needs two"):
        run(tmp_path, last=True)


def test_missing_scores_are_null(tmp_path: Path) -> None:
    reply = Reply((Candidate("x", 0.123456), Candidate("y")))
    line = json.loads(JOB.line(Conversation(["a"]), reply)[0])
    assert line["scores"] == [0.1235, None] and line["seed"] is None


def test_a_line_has_the_sources_of_selected_candidates(tmp_path: Path) -> None:
    candidates = (
        Candidate("x", 2.123456, "both", 7, {"line": 8}, {"written": -0.123456, "chosen": 3.0}),
        Candidate("y", 1.0, "chosen", 2, None, {"chosen": 4.0}),
        Candidate("", -math.inf, "written", None, None, {"written": -math.inf}),
    )
    line = json.loads(JOB.line(Conversation(["a"]), Reply(candidates, ranked_by="x"))[0])
    assert line["turns"] == ["a", "x"] and line["responses"] == ["x", "y", ""]
    assert line["scores"] == [2.1235, 1.0, None] and line["ranked_by"] == "x"
    assert line["provenance"] == [
        {"source": "both", "number": 7, "metadata": {"line": 8}, "scores": {"written": -0.1235, "chosen": 3.0}},
        {"source": "chosen", "number": 2, "scores": {"chosen": 4.0}},
        {"source": "written", "scores": {"written": None}},
    ]
    assert next(read_conversations(_saved(tmp_path, line))).turns == ("a", "x")


def _saved(tmp_path: Path, line: dict[str, Any]) -> Path:
    return write(tmp_path / "line.jsonl", [line])


def test_the_reply_is_that_of_a_named_speaker(tmp_path: Path) -> None:
    group = {"turns": ["a", "b", "c", "d"], "speakers": ["Ida", "Tom", "Eve", "Eve"]}
    write(tmp_path / "in.jsonl", [group, ["e"]])
    responder = FakeResponder()
    run(tmp_path, responder, speaker="Tom")
    assert [asked["context"] for asked in responder.requests] == [("Ida: a", "b", "Eve: c\nEve: d"), ("e",)]
    named, plain = lines_of(tmp_path / "out.jsonl")
    assert named["turns"] == [*group["turns"], named["responses"][0]] and "speakers" not in plain
    assert named["speakers"] == [*group["speakers"], "Tom"]


def test_the_last_turn_that_is_replaced_has_the_name_of_its_speaker(tmp_path: Path) -> None:
    group = {"turns": ["a", "b", "c", "d"], "speakers": ["Ida", "Tom", "Eve", "Eve"]}
    write(tmp_path / "in.jsonl", [group])
    responder = FakeResponder()
    run(tmp_path, responder, last=True)
    [line] = lines_of(tmp_path / "out.jsonl")
    assert responder.requests[0]["context"] == ("Ida: a\nTom: b",)
    assert (line["speakers"], line["gold"]) == (["Ida", "Tom", "Eve"], "c\nd")


def test_a_group_without_the_name_of_the_one_who_replies_has_two_sides(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [{"turns": ["a", "b", "c"], "speakers": ["Ida", "Tom", "Eve"]}])
    responder = FakeResponder()
    run(tmp_path, responder)
    assert responder.requests[0]["context"] == ("Ida: a\nTom: b", "c")

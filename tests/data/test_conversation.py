"""Conversation, the reader and the writer: what they accept, refuse, report and keep."""

import copy
import gzip
import json
import os
import pickle
import random
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import (
    Conversation,
    ConversationFileError,
    ConversationReader,
    check_turns,
    read_conversations,
    write_conversations,
)

LINE = '["a", "b"]\n'


class Text(str):
    """A string that is not exactly a str, as numpy and others make them."""


# Conversation


def test_any_sequence_of_strings_is_kept_as_a_tuple() -> None:
    conversation = Conversation(["Hello ", "Hi\n"], iter(["I am Ann."]), {"id": 1})
    assert conversation.turns == ("Hello ", "Hi\n")
    assert conversation.persona == ("I am Ann.",)
    assert conversation.meta == {"id": 1}


def test_one_turn_is_a_conversation() -> None:
    assert Conversation(["Hello"]) == Conversation(("Hello",), (), None)


def test_subclasses_of_str_become_plain_strings() -> None:
    assert [type(turn) for turn in Conversation([Text("a"), "b"]).turns] == [str, str]


def test_a_conversation_cannot_be_changed_but_hashed_copied_and_pickled() -> None:
    conversation = Conversation(["a", "b"], ["p"], {"k": [1]})
    with pytest.raises(FrozenInstanceError):
        conversation.turns = ()  # type: ignore[misc]
    assert conversation in {conversation}
    assert pickle.loads(pickle.dumps(conversation)) == copy.deepcopy(conversation) == conversation


def test_meta_does_not_follow_the_dict_it_came_from() -> None:
    meta = {"id": 1}
    conversation = Conversation(["a"], meta=meta)
    meta["id"] = 2
    assert conversation.meta == {"id": 1}


@pytest.mark.parametrize(
    ("turns", "error", "wanted"),
    [
        ([], ValueError, "there are no turns; give at least one"),
        ("Hello", TypeError, "the turns are the string 'Hello', not a list; give a list of strings"),
        (b"Hello", TypeError, "the turns are of type bytes, not a list"),
        (None, TypeError, r"the turns are null \(None\), not a list"),
        (5, TypeError, "the turns are the number 5, not a list"),
        ({"a": 1}, TypeError, r"the turns are an object \(dict\), not a list"),
        ({"a"}, TypeError, "the turns are of type set, not a list"),
        (["a", ""], ValueError, "turn 2 is empty; remove it or give it text"),
        (["\u3000\n", "a"], ValueError, "turn 1 is only white space; remove it or give it text"),
        (["a", None], TypeError, r"turn 2 is null \(None\), not a string"),
        (["a", ["b"]], TypeError, "turn 2 is a list, not a string"),
        (["a", 10**5000], TypeError, "turn 2 is a number, not a string"),
        (["a", b"b"], TypeError, "turn 2 is of type bytes, not a string"),
        (
            ["a", "b\udc80"],
            ValueError,
            r"turn 2 holds a lone surrogate \(U\+DC80, character 2\); remove or replace",
        ),
        ([Text("")], ValueError, "turn 1 is empty"),
    ],
)
def test_bad_turns_are_told_with_their_number_and_the_cure(turns: Any, error: type[Exception], wanted: str) -> None:
    with pytest.raises(error, match=wanted):
        Conversation(turns)
    if turns != []:
        with pytest.raises(error, match=wanted.replace("turn", "persona sentence")):
            Conversation(["a"], turns)


def test_anything_but_turns_may_be_absent() -> None:
    assert check_turns([], what="persona sentence") == ()


def test_a_meta_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(TypeError, match="meta is a list; give an object"):
        Conversation(["a"], (), [1])  # type: ignore[arg-type]


def test_checking_agrees_with_a_check_of_one_turn_after_the_other() -> None:
    rng = random.Random(3)
    values = ["a", "é", "😀", "", " ", "\ud800", "x\udfff", None, 1, Text("t"), "\0"]
    for _ in range(2000):
        turns: Any = rng.choices(values, k=rng.randrange(1, 4))
        bad = [
            not isinstance(turn, str)
            or not turn.strip()
            or any("\ud800" <= character <= "\udfff" for character in turn)
            for turn in turns
        ]
        if any(bad):
            with pytest.raises((TypeError, ValueError), match=f"^turn {bad.index(True) + 1} "):
                check_turns(turns)
        else:
            assert check_turns(turns) == tuple(turns)


# Reading


def test_how_many_turns_a_conversation_needs_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('["a"]\n{"turns": ["b"]}\n["c", "d"]\n["e", "f", "g"]\n')
    assert [len(c.turns) for c in read_conversations(path, min_turns=1)] == [1, 1, 2, 3]
    assert [len(c.turns) for c in read_conversations(path, on_error="skip")] == [2, 3]
    assert [len(c.turns) for c in read_conversations(path, min_turns=3, on_error="skip")] == [3]
    with pytest.raises(ConversationFileError, match=r"x.jsonl:1: there is only one turn; 3 are needed, or read with"):
        list(read_conversations(path, min_turns=3))
    with pytest.raises(ValueError, match="min_turns=0: give 1 for contexts"):
        ConversationReader(path, min_turns=0)


# Writing


def random_text(rng: random.Random) -> str:
    alphabet = [
        "a",
        "é",
        "日",
        "😀",
        " ",
        "\n",
        "\r",
        "\t",
        "\0",
        '"',
        "\\",
        "\u2028",
        "\x85",
        "\ufeff",
        "\ud7ff",
    ]
    return "".join(rng.choices(alphabet, k=rng.randrange(6))) + rng.choice("xyz") + rng.choice(["", " ", "\r\n"])


def random_json(rng: random.Random, depth: int = 0) -> Any:
    choice = rng.randrange(8 if depth < 3 else 6)
    if choice < 6:
        return [None, True, rng.randrange(-(10**20), 10**20), rng.random() * 1e9, random_text(rng), ""][choice]
    items = [random_json(rng, depth + 1) for _ in range(rng.randrange(3))]
    return items if choice == 6 else {random_text(rng): item for item in items}


def random_meta(rng: random.Random) -> dict[str, Any] | None:
    keys = ["id", "turns", "persona", "meta", "messages", "conversations", "context", "response", ""]
    return None if rng.random() < 0.2 else {key: random_json(rng) for key in rng.sample(keys, k=rng.randrange(4))}


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "no suffix"])
def test_what_is_written_is_read_back_exactly(tmp_path: Path, name: str) -> None:
    rng = random.Random(4)
    conversations = [
        Conversation(
            [random_text(rng) for _ in range(rng.randrange(2, 6))],
            [random_text(rng) for _ in range(rng.randrange(3))],
            random_meta(rng),
        )
        for _ in range(500)
    ]
    path = tmp_path / name
    assert write_conversations(iter(conversations), path) == 500
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    assert list(read_conversations(path)) == conversations
    assert os.listdir(tmp_path) == [name]


def test_a_file_can_be_rewritten_from_itself(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write_conversations([Conversation([str(i), "b"]) for i in range(10)], path)
    kept = (each for each in read_conversations(path) if int(each.turns[0]) % 2)
    assert write_conversations(kept, path) == 5
    assert [each.turns[0] for each in read_conversations(path)] == ["1", "3", "5", "7", "9"]


@pytest.mark.parametrize(
    ("bad", "error", "wanted"),
    [
        (["a", "b"], TypeError, "conversation 2 is a list; make it a Conversation"),
        (Conversation(["a"]), ValueError, "conversation 2 has one turn"),
        (
            Conversation(["a", "b"], meta={"x": {1}}),
            ValueError,
            "conversation 2: meta cannot be written as JSON",
        ),
        (
            Conversation(["a", "b"], meta={"x": float("nan")}),
            ValueError,
            "conversation 2: meta cannot be written",
        ),
        (
            Conversation(["a", "b"], meta={"x": "\ud800"}),
            ValueError,
            "conversation 2: meta cannot be written",
        ),
        (Conversation(["a", "b"], meta={"x": (1, 2)}), ValueError, "conversation 2: meta would come back"),
        (Conversation(["a", "b"], meta={1: 2}), ValueError, "conversation 2: meta would come back"),  # type: ignore[dict-item]
    ],
)
def test_what_would_not_come_back_is_refused_and_the_old_file_stays(
    tmp_path: Path, bad: Any, error: type[Exception], wanted: str
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(LINE)
    with pytest.raises(error, match=wanted):
        write_conversations([Conversation(["a", "b"]), bad], path)
    assert path.read_text() == LINE
    assert os.listdir(tmp_path) == ["x.jsonl"]


def test_nothing_written_is_an_empty_file(tmp_path: Path) -> None:
    assert write_conversations([], tmp_path / "x.jsonl.gz") == 0
    assert gzip.decompress((tmp_path / "x.jsonl.gz").read_bytes()) == b""


# The room


def test_importing_the_room_imports_none_of_the_heavy_libraries() -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'numpy', 'pytorch_lightning'}"
    code = f"import sys, convmodel.data.conversation; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.data
def test_the_real_conversations_are_read() -> None:
    folder = Path(os.environ.get("CONVMODEL_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = folder / "self_dialogue" / "train.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    assert sum(1 for _ in read_conversations(path)) == 21_726


# Speakers

GROUP = (["Ida", "Eve", "Eve", "Tom"], list("abcd"))


def test_named_speakers_are_written_and_read_again(tmp_path: Path) -> None:
    talks = [
        Conversation(["a", "b", "c"], ["p"], {"id": 1}, speakers=["Ida", "Ida", "Tom"]),
        Conversation(["a", "b"], speakers=("Ida", "Tom")),
        Conversation(["a", "b"], meta={"speakers": 3}),
        Conversation(["a", "b"]),
    ]
    write_conversations(talks, tmp_path / "talks.jsonl")
    assert list(read_conversations(tmp_path / "talks.jsonl")) == talks
    read = list(ConversationReader(tmp_path / "talks.jsonl"))
    assert [talk.turns for talk in read] == [("a\nb", "c"), ("a", "b"), ("a", "b"), ("a", "b")]
    assert all(talk.speakers is None for talk in read) and read[0].meta == {"id": 1} and read[0].persona == ("p",)


def test_the_sides_of_a_group_are_the_last_speaker_and_the_others_with_their_names() -> None:
    talk = Conversation(["a", "b", "c", "d", "e"], speakers=["Ida", "Tom", "Eve", "Eve", "Tom"])
    assert talk.alternating() == Conversation(["Ida: a", "b", "Eve: c\nEve: d", "e"])
    assert talk.reversed().speakers == ("Tom", "Eve", "Eve", "Tom", "Ida")
    assert Conversation(["a", "b"]).alternating() == Conversation(["a", "b"])


def test_speakers_are_checked() -> None:
    with pytest.raises(ValueError, match="there are 1 speakers for 2 turns; give one name for each turn"):
        Conversation(["a", "b"], speakers=["Ida"])
    with pytest.raises(TypeError, match="the speakers are the string 'Ida', not a list"):
        Conversation(["a", "b"], speakers="Ida")


def test_names_of_messages_tell_the_people_of_a_group_apart(tmp_path: Path) -> None:
    said = [
        ("user", "Ida", "a"),
        ("user", "Eve", "b"),
        ("assistant", None, "c"),
        ("user", "Ida", "d"),
        ("user", "Ida", "e"),
    ]
    messages = [{"role": role, "content": text} | ({"name": name} if name else {}) for role, name, text in said]
    lines = [{"messages": [*messages, {"role": "assistant", "content": "f"}]}, {"messages": messages[2:4]}]
    file = tmp_path / "talks.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in (*lines, messages[:3])))
    group, two, bare = read_conversations(file)
    assert group.turns == ("a", "b", "c", "d\ne", "f")
    assert group.speakers == ("Ida", "Eve", "assistant", "Ida", "assistant")
    assert (two.turns, two.speakers) == (("c", "d"), None) and bare.speakers == ("Ida", "Eve", "assistant")
    [folded, *_] = ConversationReader(file)
    assert folded.turns == ("Ida: a\nEve: b", "c", "Ida: d\n e", "f")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("talk.txt", "Ida: a\nEve: b\nEve: c\nTom: d\n\n" * 2),
        ("talk.csv", "dialogue_id,speaker,text\n1,Ida,a\n1,Eve,b\n1,Eve,c\n1,Tom,d\n"),
        ("talk.json", json.dumps([{"dialog": [{"speaker": n, "text": t} for n, t in zip(*GROUP, strict=True)]}] * 2)),
        ("talk.jsonl", json.dumps([{"speaker": n, "text": t} for n, t in zip(*GROUP, strict=True)])),
    ],
)
def test_names_beside_utterances_are_kept_on_request(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    plain = next(read_conversations(tmp_path / name))
    named = next(read_conversations(tmp_path / name, keep_speakers=True))
    assert plain.turns == named.turns == ("a", "b\nc", "d") and plain.speakers is None
    assert named.speakers == ("Ida", "Eve", "Tom")
    [folded, *_] = ConversationReader(tmp_path / name, keep_speakers=True)
    assert folded.turns == ("Ida: a\nEve: b\n c", "d")

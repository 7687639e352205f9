"""Conversations are split by a hash of their turns: stable, complete, and without a conversation on both sides."""

from pathlib import Path

import pytest

from convmodel.data.conversation import Conversation, read_conversations
from convmodel.data.split import VALID_SHARE, is_validation, write_split

MANY = [Conversation([f"question {n}", f"answer {n}"]) for n in range(2000)]


def test_each_conversation_is_in_one_file_in_the_given_order(tmp_path: Path) -> None:
    train, valid = tmp_path / "train.jsonl", tmp_path / "valid.jsonl"
    count = write_split(MANY, train, valid)
    written = {name: list(read_conversations(name)) for name in (train, valid)}
    assert written[valid] == [conversation for conversation in MANY if is_validation(conversation)]
    assert written[train] == [conversation for conversation in MANY if not is_validation(conversation)]
    assert count == len(written[valid]) == pytest.approx(VALID_SHARE * len(MANY), rel=0.2)


def test_the_side_depends_on_the_turns_alone() -> None:
    for conversation in MANY[:100]:
        with_persona = Conversation(conversation.turns, persona=["I like rain."], meta={"id": 1})
        assert is_validation(with_persona) == is_validation(conversation)
    assert is_validation(Conversation(["question 3", "answer 3"])) == is_validation(MANY[3])


def test_a_share_of_nothing_or_all_takes_none_or_all() -> None:
    assert not any(is_validation(conversation, 0.0) for conversation in MANY)
    assert all(is_validation(conversation, 1.0) for conversation in MANY)

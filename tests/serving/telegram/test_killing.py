"""A killed bot loses no message, and repeats none in a conversation."""

import sys
from pathlib import Path

import pytest

from tests.serving.telegram.harness import run
from tests.serving.telegram.killing import Outcome, under_kills

pytestmark = pytest.mark.slow

MESSAGES = 24


def check(outcome: Outcome, *, messages: int, kills: int) -> None:
    """Check that each message is in a conversation once, with a full reply, and that replies were sent in order."""
    sentences = [index for index in range(messages) if f"<{index}>" not in outcome.said]
    assert outcome.persona == tuple(f"sentence {index}" for index in sentences)
    assert all(count == 1 for count in outcome.said.values())
    for turns in outcome.turns:
        assert turns[1::2] == [f"re: {turn}" for turn in turns[::2]]
    replies = [turns[1::2] for turns in outcome.turns if turns]
    sent = {chat: list(dict.fromkeys(texts)) for chat, texts in outcome.sent.items()}
    assert sorted(replies) == sorted(texts for chat, texts in sent.items() if chat != 9 and texts)
    personas = ["\n".join(outcome.persona[: count + 1]) for count in range(len(outcome.persona))]
    assert sent[9] == personas
    assert outcome.repeated <= 3 * kills  # a message of each chat may be on its way


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork server")
def test_each_message_is_said_once_and_answered_however_often_the_bot_is_killed(tmp_path: Path) -> None:
    outcome = run(under_kills(tmp_path, seed=1, kills=3, messages=MESSAGES))
    check(outcome, messages=MESSAGES, kills=3)
    assert len(outcome.said) > 5 and len(outcome.persona) > 2

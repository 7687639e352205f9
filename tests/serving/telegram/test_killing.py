"""A bot that is killed: nothing that people wrote is lost, and nothing is said twice in a conversation."""

import sys
from pathlib import Path

import pytest

from tests.serving.telegram.harness import run
from tests.serving.telegram.killing import Found, under_kills

pytestmark = pytest.mark.slow

MESSAGES = 24


def check(found: Found, *, messages: int, kills: int) -> None:
    """Each message is in a conversation once and was replied to in full, and the reply was sent, in order."""
    sentences = [number for number in range(messages) if f"<{number}>" not in found.said]
    assert found.persona == tuple(f"sentence {number}" for number in sentences)
    assert all(count == 1 for count in found.said.values())
    for turns in found.turns:
        assert turns[1::2] == [f"re: {turn}" for turn in turns[::2]]
    replies = [turns[1::2] for turns in found.turns if turns]
    sent = {chat: list(dict.fromkeys(texts)) for chat, texts in found.sent.items()}
    assert sorted(replies) == sorted(texts for chat, texts in sent.items() if chat != 9 and texts)
    told = ["\n".join(found.persona[: count + 1]) for count in range(len(found.persona))]
    assert sent[9] == told
    assert found.repeated <= 3 * kills  # a message of each chat may be on its way


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork server")
def test_whenever_the_bot_is_killed_each_message_is_said_once_and_replied_to(tmp_path: Path) -> None:
    found = run(under_kills(tmp_path, seed=1, kills=3, messages=MESSAGES))
    check(found, messages=MESSAGES, kills=3)
    assert len(found.said) > 5 and len(found.persona) > 2

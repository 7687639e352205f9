import time

import pytest

from convmodel.serving.store.records import ConversationRecord, ConversationSettings, Turn, now


@pytest.mark.parametrize(("count", "waiting"), [(0, False), (1, True), (2, False)])
def test_a_conversation_waits_after_a_turn_of_the_user(count: int, waiting: bool) -> None:
    turns = (Turn(1, "user", "Hello", 1), Turn(2, "model", "Hi", 2))[:count]
    record = ConversationRecord("id", "anna", ConversationSettings(), 1, 1, 1, 1, count, turns)
    assert record.waiting is waiting


def test_times_are_microseconds() -> None:
    before = int(time.time() * 1e6)
    assert before - 1 <= now() <= int(time.time() * 1e6) + 1

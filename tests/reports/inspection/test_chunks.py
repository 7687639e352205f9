"""Chunks of conversations."""

import pytest

from convmodel.data.conversation import ConversationReader
from convmodel.reports.inspection import chunks
from tests.reports.inspection.helpers import Write


def test_chunks_hold_all_conversations_and_name_their_segments(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 2)
    lines = [{"persona": ["p", "q"], "turns": ["a", "b"]}, {"turns": ["c", "d"]}, {"turns": ["e", "f", "g"]}]
    read = list(chunks.read_chunks(ConversationReader(write("data.jsonl", lines))))
    assert [chunk.lines.tolist() for chunk in read] == [[1, 2], [3]]
    first = read[0]
    assert first.texts == ["p", "q", "a", "b", "c", "d"] and first.owners.tolist() == [0, 0, 0, 0, 1, 1]
    assert [first.name_of(n) for n in (0, 1, 2, 5)] == ["persona sentence 1", "persona sentence 2", "turn 1", "turn 2"]
    assert first.segments_at([first.joined.index("b"), first.joined.index("q")]).tolist() == [1, 3]

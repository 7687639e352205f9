"""Rows of an encoder: separators, types and truncation."""

import pytest

from convmodel.models.selection.layout import RowLayout

pytestmark = pytest.mark.machine


def test_types_mark_the_replying_speaker_and_the_first_token_replaces_a_separator() -> None:
    row = RowLayout(9, max_context=20).context([[1], [2, 3]], [[4]])
    assert row.ids == [9, 4, 9, 1, 9, 2, 3, 9]
    assert row.types == [1, 1, 1, 1, 0, 0, 0, 1]
    layout = RowLayout(9, 8, max_context=20, max_candidate=4)
    assert layout.context([[1]]).ids == [8, 1, 9] and layout.context([[1]]).types == [0, 0, 1]
    assert layout.candidate([5, 6, 7]).ids == [8, 5, 6, 9]
    pair = layout.pair(layout.context([[1]]), [5, 6, 7])
    assert pair.ids == [8, 1, 9, 5, 6, 9] and pair.types == [0, 0, 1, 1, 1, 1]


def test_the_persona_is_kept_when_old_turns_are_dropped() -> None:
    layout = RowLayout(9, max_context=10)
    assert layout.context([[1, 1], [2, 2], [3, 3]], [[4]]).ids == [9, 4, 9, 2, 2, 9, 3, 3, 9]
    assert layout.context([[3] * 50], [[4]]).ids == [9, 4, 9, *[3] * 6, 9]
    with pytest.raises(ValueError, match="leave no room for a turn"):
        layout.context([[3]], [[4] * 9])

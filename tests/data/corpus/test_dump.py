"""Limits of turns."""

import pytest

from convmodel.data.corpus.dump import TurnLimits


@pytest.mark.parametrize(("words", "fault"), [(1, "too short"), (2, None), (4, None), (5, "too long")])
def test_turns_are_within_limits(words: int, fault: str | None) -> None:
    assert TurnLimits(min_words=2, max_words=4).fault(" ".join(["word"] * words)) == fault


def test_short_texts_are_not_counted_word_by_word() -> None:
    limits = TurnLimits(max_words=3)
    assert (
        limits.fault("a b c") is None and limits.fault("a\tb\nc d") == "too long" and limits.fault("abcdefghi") is None
    )


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (TurnLimits(min_turns=5, max_turns=4), r"--min-turns 5 --max-turns 4: allowed are numbers from 2 on"),
        (TurnLimits(min_turns=1), r"--min-turns 1 "),
        (TurnLimits(min_words=0), r"--min-words 0 .*from 1 on"),
    ],
)
def test_limits_that_allow_nothing_are_an_error(limits: TurnLimits, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        limits.check()

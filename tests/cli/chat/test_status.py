"""The status line of a reply."""

from dataclasses import replace

import pytest

from convmodel.cli.chat.status import status_line
from convmodel.responders.protocol import Candidate, Reply

REPLY = Reply(
    (Candidate("Hi"),),
    context_tokens=20,
    reply_tokens=11,
    window=512,
    turns_dropped=1,
    seconds=0.5,
    first_seconds=0.0123,
    seed=7,
)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (None, "31 of 512 tokens · 1 turn dropped · 22 tokens/s · first 12 ms · seed 7"),
        (60, "31/512 tok · 1 dropped · 22 tok/s · 12 ms · seed 7"),
        (40, "31/512 tok · 1 dropped · 22 tok/s"),
        (12, "31/512 tok"),
        (3, "31/"),
    ],
)
def test_the_status_line_shows_what_fits(columns: int | None, line: str) -> None:
    assert status_line(REPLY, columns) == line


def test_a_turn_that_was_cut_is_told_where_no_turn_was_dropped() -> None:
    cut = replace(REPLY, turns_dropped=0, tokens_dropped=90)
    assert status_line(cut).startswith("31 of 512 tokens · 0 turns dropped · 90 tokens of your turn cut · ")
    assert status_line(cut, 40) == "31/512 tok · 0 dropped · turn cut"
    assert "cut" not in status_line(replace(REPLY, tokens_dropped=90))


def test_a_reply_of_something_without_a_window_has_a_status_too() -> None:
    assert status_line(Reply((Candidate("Hi"),), seconds=1.25)) == "1.2 s"

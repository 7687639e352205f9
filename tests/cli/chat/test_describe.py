"""The status line of a reply, its candidates on screens of all widths, and why the first one won."""

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from convmodel.cli.chat.describe import candidate_table, explain, status_line
from convmodel.cli.chat.plain import PipeScreen, PlainScreen, plain_lines
from convmodel.cli.chat.screen import Outcome, TextTable
from convmodel.cli.chat.slash import run_command
from convmodel.cli.chat.state import Chat
from convmodel.cli.chat.terminal import TerminalScreen
from convmodel.cli.chat.wrapping import Wrapper
from convmodel.responders.protocol import Candidate, Reply
from tests.fakes import FakeResponder

HYBRID = Reply(
    (
        Candidate("I live in Rome.", 3.25, "both", 17, {"line": 18}, {"written": -0.25, "chosen": 2.0}),
        Candidate("By the sea.", 3.0, "chosen", 4, None, {"chosen": 2.5}),
        Candidate(
            "Where do you live? I have always lived in this town, as my parents did.", -1.5, "written", None, None
        ),
    ),
    ranked_by="cross-encoder",
)


def test_the_table_has_sources_and_scores_of_each_stage() -> None:
    table = candidate_table(HYBRID, 0)
    assert table.head == ("", "score", "source", "written", "chosen", "candidate") and table.marked == 0
    assert table.rows[0] == ("1", "3.250", "both #17", "-0.250", "2.000", "I live in Rome.")
    assert table.rows[1][:5] == ("2", "3.000", "chosen #4", "", "2.500")
    assert table.rows[2][:5] == ("3", "-1.500", "written", "", "")
    assert explain(HYBRID) == (
        "1 has the best score by cross-encoder, 0.25 above 2\n2 written, 2 chosen, 1 of them both\n#17: line 18"
    )


def test_a_stage_that_decided_is_not_shown_twice() -> None:
    reply = Reply(
        (
            Candidate("a", 2.0, "chosen", 1, None, {"chosen": 2.0}),
            Candidate("b", 1.0, "written", None, None, {"written": -1.0}),
        )
    )
    assert candidate_table(reply, 0).head == ("", "score", "source", "written", "candidate")


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ((1.0, 0.5), "1 has the best score by x, 0.5 above 2"),
        ((1.0, 1.0), "1 and 2 have the same score by x; 1 came first"),
        ((-math.inf, -math.inf), "1 and 2 have the same score by x; 1 came first"),
        ((1.0, -math.inf), "1 is the only one with text"),
        ((0.5, 1.0), "1 was drawn: likelier the higher its score by x"),
        ((None, None), ""),
        ((1.0,), ""),
    ],
)
def test_the_explanation_says_why_the_first_candidate_won(scores: tuple[float | None, ...], told: str) -> None:
    reply = Reply(tuple(Candidate(str(n), score) for n, score in enumerate(scores)), ranked_by="x")
    assert explain(reply) == told


def test_the_explanation_begins_with_the_reasoning() -> None:
    assert explain(Reply((Candidate("Hi"),), reasoning="It is a greeting.")) == "it thought: It is a greeting."
    assert explain(replace(HYBRID, reasoning="Hm")).startswith("it thought: Hm\n1 has the best score")


def test_the_explanation_says_that_all_candidates_were_selected() -> None:
    assert explain(Reply((Candidate("a", 1.0, "chosen", 3),))) == "1 chosen, none written"


def chat_after(reply: Reply) -> Chat:
    chat = Chat(FakeResponder())
    chat.say("Where do you live?")
    chat.add_reply(reply)
    return chat


@pytest.mark.parametrize("columns", [40, 58, 80, 120])
def test_the_candidates_are_readable_on_every_screen(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run_command(chat_after(HYBRID), "/why")
    seen, out = io.StringIO(), io.StringIO()
    console = Console(file=seen, width=columns, highlight=False, markup=False, emoji=False)
    TerminalScreen(Chat(FakeResponder()), console=console).show(outcome)
    monkeypatch.setenv("COLUMNS", str(columns))
    PlainScreen(io.BytesIO(), out=out, notes=out, wrapper=Wrapper).show(outcome)
    for text in (seen.getvalue(), out.getvalue()):
        assert max(map(len, text.splitlines())) <= columns
        words = " ".join(text.split())
        for part in ("I live in Rome.", "both #17", "-0.250", "2.500", "as my parents", "0.25 above 2", "line 18"):
            assert part in words
        assert ("score 3.250 ·" in text) == (columns < 65)


def test_narrow_rows_stand_below_each_other_with_their_names() -> None:
    table = TextTable(
        ("", "score", "source", "candidate"), (("1", "2.5", "", "aa"), ("10", "1.5", "written", "b")), 1, 30
    )
    assert table.stacked(20) == [("1   ", "aa", "    score 2.5"), ("10  ", "b", "    score 1.5 ·\n    source written")]
    narrow = plain_lines(Outcome(table=table), 22)
    assert narrow == ["  1   aa", "      score 2.5", "* 10  b", "      score 1.5 ·", "      source written"]
    assert plain_lines(Outcome(table=table), 30) == plain_lines(Outcome(table=table))


def test_in_a_pipe_the_candidates_are_a_table_of_any_width() -> None:
    notes = io.StringIO()
    PipeScreen(io.BytesIO(), replies=io.StringIO(), notes=notes).show(run_command(chat_after(HYBRID), "/why"))
    assert "* 1  3.250   both #17   -0.250   2.000   I live in Rome." in notes.getvalue()


def test_another_candidate_can_be_taken_and_is_marked() -> None:
    chat = chat_after(HYBRID)
    assert run_command(chat, "/why 2").shown == (("reply", "By the sea."),)
    shown = run_command(chat, "/why").table
    assert shown is not None and shown.marked == 1


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


def test_the_status_has_a_cut_turn_if_no_turn_was_dropped() -> None:
    cut = replace(REPLY, turns_dropped=0, tokens_dropped=90)
    assert status_line(cut).startswith("31 of 512 tokens · 0 turns dropped · 90 tokens of your turn cut · ")
    assert status_line(cut, 40) == "31/512 tok · 0 dropped · turn cut"
    assert "cut" not in status_line(replace(REPLY, tokens_dropped=90))


def test_a_reply_without_a_window_has_a_status() -> None:
    assert status_line(Reply((Candidate("Hi"),), seconds=1.25)) == "1.2 s"

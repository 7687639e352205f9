"""The command chat with a model, from the command line to the replies."""

import re
import sys
from pathlib import Path

import pytest

from convmodel.__main__ import main
from tests.cli.helpers import CHOSEN, WRITTEN, Stdin


def test_a_model_replies_through_a_pipe(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["chat", "--model", folder, "--seed", "3", "--set", "min_new_tokens=3", "--set", "max_new_tokens=8"]
    seen = []
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", Stdin("Hello\nHow are you?\n"))
        assert main([*arguments, "--persona", "I am fine."]) == 0
        seen.append(capsys.readouterr())
    assert seen[0].out == seen[1].out and seen[0].out.count("\n") == 2
    assert "of 64 tokens" in seen[0].err and "seed 3" in seen[0].err


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ([], "self_repetition_penalty = 0.3"),
        (["--preset", "off"], "self_repetition_penalty is not set"),
        (["--set", "num_beams=2"], "self_repetition_penalty is not set"),
        (["--preset", "lively", "--set", "top_k=7"], "self_repetition_penalty = 0.6"),
    ],
    ids=" ".join,
)
def test_a_chat_begins_with_the_preset_that_repeats_itself_least_unless_something_else_is_said(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str], shown: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin("/set self_repetition_penalty\n"))
    assert main(["chat", "--model", folder, *more]) == 0
    assert shown in capsys.readouterr().err


def test_the_penalties_by_count_are_set_and_shown_as_all_options(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = "/set frequency_penalty 0.5\n/set presence_penalty\n/set\nHello\n"
    monkeypatch.setattr(sys, "stdin", Stdin(typed))
    assert main(["chat", "--model", folder, "--set", "presence_penalty=-1"]) == 0
    out, notes = capsys.readouterr()
    assert "frequency_penalty = 0.5" in notes and "presence_penalty = -1" in notes
    assert re.search(r"^ *frequency_penalty +0\.5 ", notes, re.MULTILINE), notes
    assert out.strip()


def test_a_chat_selects_replies_and_shows_the_candidates(
    parts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "your persona: I live in Rome.\nHello\n/why\n/set\n/reset\nyour persona: I like rain.\nHello\n/persona\n"
    monkeypatch.setattr(sys, "stdin", Stdin(said))
    assert main(["chat", *WRITTEN, *CHOSEN, "--num-candidates", "2", "--seed", "1"]) == 0
    seen = capsys.readouterr()
    assert seen.out.count("\n") == 2
    for part in ("persona: I live in Rome.", "chosen #", "by bi-encoder", "written, 2 chosen", "selection_temperature"):
        assert part in seen.err
    *notes, decided = seen.err.rstrip().splitlines()
    assert notes[-1] == "I like rain." and "of 64 tokens" in seen.err
    assert decided.startswith("chosen by this machine: ") and "dtype float32 (--dtype)" in decided

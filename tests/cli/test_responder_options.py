"""The commands chat and generate with a model, from the command line to the files."""

import sys
from pathlib import Path

import pytest

from convmodel.__main__ import main
from tests.cli.helpers import CHOSEN, WRITTEN, Stdin


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--set", "temperature"], "'temperature' is not a setting; write name=value"),
        (["--num_replies", "0"], "'0' is not a whole number from 1"),
        (["--dtype", "int4"], "invalid choice: 'int4'"),
    ],
)
@pytest.mark.parametrize("command", [["chat"], ["generate", "--input", "in", "--output", "out"]])
def test_a_wrong_option_is_told_with_the_usage(
    command: list[str], more: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command, *more])
    assert end.value.code == 2 and told in capsys.readouterr().err


# Written and chosen


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--selector", "chooser"], "there is a selector and nothing to choose from; give candidates"),
        (["--candidates", "list.txt"], "there are candidates and nothing that chooses among them; give a selector"),
        (["--reranker", "selector"], "reranker 'selector': there is none; give one"),
        ([*CHOSEN, "--reranker", "likelihood"], "reranker 'likelihood': there is no model that writes"),
        ([*CHOSEN, "--reranker", "model"], "model: "),
        ([*CHOSEN, "--num_replies", "2"], "there is no option 'num_return_sequences'; where replies are only chosen"),
        ([*CHOSEN, "--preset", "balanced"], "there is no preset 'balanced'; this model has none"),
        (["--selector", "chooser", "--candidates", "none.txt"], "none.txt: there is no such file"),
        (["--selector", "none", "--candidates", "list.txt"], "none"),
        ([*WRITTEN, "--num_candidates", "2"], "there is no option 'num_candidates'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_go_together_is_told_in_one_line(
    parts: Path,
    arguments: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin("Hello\n"))
    with pytest.raises(SystemExit) as end:
        main(["chat", *arguments])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and told in err and err.count("\n") == 1


def test_an_index_and_a_list_are_not_given_at_once(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["chat", *CHOSEN, "--index", "index"])
    assert end.value.code == 2 and "not allowed with argument --candidates" in capsys.readouterr().err

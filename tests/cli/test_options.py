"""Options of responders in the commands chat and generate, and those of the moderation policy."""

import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.cli.options import add_policy_options, check_policy_options, open_policy
from convmodel.serving.safety import BlockReason, Policy
from tests.cli.helpers import CHOSEN, WRITTEN, Stdin
from tests.models.test_text_classifier import saved

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--set", "temperature"], "'temperature' is not a setting; write name=value"),
        (["--num-replies", "0"], "'0' is not a whole number from 1"),
        (["--dtype", "int4"], "invalid choice: 'int4'"),
    ],
)
@pytest.mark.parametrize("command", [["chat"], ["generate", "--input", "in", "--output", "out"]])
def test_an_invalid_option_is_an_error_of_usage(
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
        ([*CHOSEN, "--num-replies", "2"], "there is no option 'num_return_sequences'; allowed for a chooser are"),
        ([*CHOSEN, "--preset", "balanced"], "there is no preset 'balanced'; this model has none"),
        (["--selector", "chooser", "--candidates", "none.txt"], "none.txt: there is no such file"),
        (["--selector", "none", "--candidates", "list.txt"], "none"),
        ([*WRITTEN, "--num-candidates", "2"], "there is no option 'num_candidates'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_conflicting_options_are_an_error_of_one_line(
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


def test_an_index_excludes_a_file_of_candidates(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["chat", *CHOSEN, "--index", "index"])
    assert end.value.code == 2 and "not allowed with argument --candidates" in capsys.readouterr().err


# Moderation policy


def parsed(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    add_policy_options(parser)
    options = parser.parse_args(arguments)
    check_policy_options(options)
    return options


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "words.txt").write_text("# of the weather\nrain\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_check_there_is_no_policy(here: Path) -> None:
    assert open_policy(parsed()) is None
    off = parsed("--blocked-words", "none.txt", "--classifier", "none", "--policy-say", "No.", "--no-policy")
    assert off.no_policy and open_policy(off) is None
    assert open_policy(parsed("--no-policy", "--flag-labels", "rude")) is None


def test_the_policy_reads_the_word_list_and_follows_its_options(here: Path) -> None:
    policy = open_policy(parsed("--blocked-words", "words.txt"))
    assert isinstance(policy, Policy) and policy.checks_input and policy.checks_output
    assert policy.check_input(["RAIN"]) == BlockReason("input", "words") and policy.store == "placeholder"
    more = ["--policy-sides", "output", "--policy-say", "Let us talk of tea.", "--policy-store", "nothing"]
    policy = open_policy(parsed("--blocked-words", "words.txt", *more))
    assert policy is not None and policy.check_input(["rain"]) is None
    assert (policy.say, policy.store) == ("Let us talk of tea.", "nothing")


def test_a_classifier_is_loaded_by_folder_with_its_labels_and_threshold(here: Path) -> None:
    saved(here / "model", "bert")
    options = parsed("--classifier", "model", "--flag-labels", " rude, sad,rude", "--flag-threshold", "0.01")
    assert (options.classifier, options.flag_labels, options.flag_threshold) == ("model", ("rude", "sad"), 0.01)
    policy = open_policy(options, device="cpu")
    assert policy is not None
    blocked = policy.check_input(["you are nice"])
    assert blocked is not None and blocked.by == "classifier" and blocked.label in ("rude", "sad")
    with pytest.raises(ValueError, match="model: no flagging labels were given; the model has fine, rude, sad"):
        open_policy(parsed("--classifier", "model"), device="cpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy-say", "No."], "--policy-say has no effect without a check; give --blocked-words or --classifier"),
        (["--policy-store", "text"], "--policy-store has no effect"),
        (["--blocked-words", "words.txt", "--flag-labels", "a"], "--flag-labels needs a classifier; give --classifier"),
        (["--blocked-words", "words.txt", "--flag-threshold", "0.5"], "--flag-threshold needs a classifier"),
        (["--blocked-words", "none.txt"], "none.txt: there is no such file"),
        (["--blocked-words", "words.txt", "--policy-say", " "], "say is blank; give the text of a reply"),
    ],
)
def test_options_that_do_not_fit_together_are_errors(here: Path, arguments: list[str], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_policy(parsed(*arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy-sides", "inputs"], "'inputs'; allowed are input, output"),
        (["--policy-sides", ","], "allowed are input, output"),
        (["--flag-threshold", "0"], "'0' is not a number above 0 and at most 1"),
        (["--flag-threshold", "nan"], "'nan' is not a number above 0"),
        (["--flag-threshold", "high"], "'high' is not a number above 0"),
        (["--policy-store", "all"], "invalid choice: 'all'"),
    ],
)
def test_an_invalid_value_is_an_error_of_usage(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        parsed(*arguments)
    assert message in capsys.readouterr().err


def test_a_list_of_words_needs_no_torch(here: Path) -> None:
    program = (
        "import sys; from argparse import ArgumentParser; from convmodel.cli.options import *;"
        "parser = ArgumentParser(); add_policy_options(parser);"
        "policy = open_policy(parser.parse_args(['--blocked-words', 'words.txt']));"
        "print(policy.check_input(['rain']).by, 'torch' in sys.modules)"
    )
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=here, env=path)
    assert done.stdout == "words False\n", done.stderr

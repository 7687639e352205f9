"""The commands chat and generate with a model, from the command line to the files."""

import io
import json
import sys
from pathlib import Path

import pytest

from convmodel.__main__ import main
from tests.conftest import MakeModel


@pytest.fixture
def folder(tmp_path: Path, make_model: MakeModel) -> str:
    make_model(ending=3.0).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


class Stdin(io.TextIOWrapper):
    """A pipe with something in it."""

    def __init__(self, text: str) -> None:
        super().__init__(io.BytesIO(text.encode()))


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


def test_a_file_is_replied_to_and_its_replies_repeat(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text(
        '["Hello"]\n["How are you?", "I am fine.", "And you?"]\n["Do you like music?"]\n'
    )
    arguments = ["generate", "--model", folder, "--input", str(tmp_path / "in.jsonl"), "--preset", "careful"]
    for name, concurrency in (("one", "1"), ("many", "64")):
        assert main([*arguments, "--output", str(tmp_path / name), "--concurrency", concurrency]) == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "many").read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "one").read_text().splitlines()]
    assert [len(line["turns"]) for line in lines] == [2, 4, 2] and "scores" in lines[0]
    assert "many: 3 lines; " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--set", "temperature"], "'temperature' is no setting; write name=value"),
        (["--num_replies", "0"], "'0' is no whole number from 1"),
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


@pytest.mark.parametrize("command", [["chat"], ["generate", "--input", "in", "--output", "out"]])
def test_ctrl_c_ends_a_command_without_a_traceback(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"convmodel.commands.{command[0]}.open_responder", interrupted)
    monkeypatch.setattr(sys, "stdin", Stdin(""))
    assert main(command) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ([], "said_again_penalty = 0.3"),
        (["--preset", "off"], "said_again_penalty is not set"),
        (["--set", "num_beams=2"], "said_again_penalty is not set"),
        (["--preset", "lively", "--set", "top_k=7"], "said_again_penalty = 0.6"),
    ],
    ids=" ".join,
)
def test_a_chat_begins_with_the_preset_that_repeats_itself_least_unless_something_else_is_said(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str], shown: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin("/set said_again_penalty\n"))
    assert main(["chat", "--model", folder, *more]) == 0
    assert shown in capsys.readouterr().err

"""`demo` trains a model once, in a folder of its own, and serves it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from convmodel import ConversationModel
from convmodel.__main__ import main
from convmodel.cli.commands import demo, serve


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Namespace]:
    """The options that the server would be started with, one entry for each start."""
    started: list[Namespace] = []

    def run(options: Namespace) -> int:
        started.append(options)
        return 0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "serve", SimpleNamespace(COMMAND=replace(serve.COMMAND, run=run)))
    return started


def test_the_example_conversations_are_those_of_the_checkout() -> None:
    path = demo.example_conversations()
    assert path == Path(demo.__file__).parents[3] / "examples" / "data" / "train.jsonl"
    assert len(path.read_text(encoding="utf-8").splitlines()) == 8000


def test_a_model_that_is_there_is_served_at_once(served: list[Namespace], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_train", lambda *_: pytest.fail("nothing is to be trained"))
    model = Path("mine") / "model"
    model.mkdir(parents=True)
    (model / "config.json").touch()
    assert main(["demo", "--folder", "mine", "--no-browser", "--port", "0"]) == 0
    [options] = served
    assert (options.model, options.store, options.port) == (str(model), "sqlite:///mine/conversations.db", 0)
    assert not options.open


def test_a_failed_training_ends_the_demo(served: list[Namespace], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_train", lambda *_: 2)
    assert main(["demo"]) == 2
    assert served == []


@pytest.mark.usefixtures("served")
def test_without_the_libraries_for_training_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        main(["demo"])
    error = capsys.readouterr().err
    assert "the demo trains a model first; " in error and "train,serve" in error


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="process groups are those of Unix")
def test_ctrl_c_while_training_ends_the_demo_after_the_trainer(tmp_path: Path) -> None:
    """Ctrl-C of a terminal goes to all processes of the group."""
    command = [sys.executable, "-m", "convmodel", "demo", "--no-browser"]
    environment = os.environ | {"PYTHONPATH": str(Path(demo.__file__).parents[3]), "PYTHONUNBUFFERED": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout is not None
            output = ""
            while "memory: a step takes" not in output:  # printed after the first step
                line = process.stdout.readline()
                assert line, output
                output += line
            os.killpg(process.pid, signal.SIGINT)
            output += process.communicate(timeout=60)[0]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode not in (0, -signal.SIGINT)
    assert "--ckpt_path last continues from there" in output and "Traceback" not in output
    assert list(tmp_path.rglob("last.ckpt"))


@pytest.mark.slow
def test_a_model_is_trained_and_served(served: list[Namespace], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (json.dumps({"turns": [f"How are you on day {n}?", "Fine, thanks."]}) for n in range(30))
    Path("few.jsonl").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(demo, "example_conversations", lambda: Path("few.jsonl"))
    monkeypatch.setattr(demo, "MINUTES", 0.02)
    assert main(["demo"]) == 0
    assert ConversationModel.from_pretrained("convmodel-demo/model").generate(["Hi"]).responses
    assert served[0].open and sorted(path.name for path in Path(".").iterdir()) == ["convmodel-demo", "few.jsonl"]

"""Rejected options of the trainer, in one line."""

import sys
from pathlib import Path

import pytest

from convmodel.training.option_errors import OptionContext
from tests.training.test_cli import error_of

NAMES = ("export_dir", "trainer.max_epochs", "trainer.logger")
CLASSES = {"model": "convmodel.training.ConversationModule", "data": "convmodel.training.ConversationDataModule"}

UNKNOWN = """Parser key "data":
  Does not validate against any of the Union subtypes
  Errors:
    - Problem with given class_path 'convmodel.training.ConversationDataModule':
        Option '{}' is not accepted
    - Expected a <class 'NoneType'>
  Given value type: <class 'jsonargparse._util.NestedArg'>
  Given value: NestedArg(key='{}', val='x')"""
TYPED = """Parser key "model":
  Errors:
    - Problem with given class_path 'convmodel.training.ConversationModule':
        Parser key "learning_rate":
          Does not validate against any of the Union subtypes
          Errors:
            - Expected a <class 'float'>
            - Expected a <class 'str'>
          Given value type: <class 'str'>
          Given value: fast
    - Expected a <class 'NoneType'>
  Given value: NestedArg(key='learning_rate', val='fast')"""


def explain(message: str, *arguments: str) -> str:
    return OptionContext(arguments, NAMES, CLASSES).explain(message)


@pytest.mark.parametrize(
    ("message", "arguments", "wanted"),
    [
        (
            UNKNOWN.format("trainfile", "trainfile"),
            ["--data.trainfile", "x"],
            "--data.trainfile: there is no such option; did you mean --data.train_file?",
        ),
        (
            UNKNOWN.format("train_on", "train_on"),
            ["--data.train_on=x"],
            "--data.train_on: there is no such option; did you mean --model.train_on?",
        ),
        (
            TYPED,
            ["--model.learning_rate", "fast"],
            "--model.learning_rate=fast: is not allowed; allowed are a number, a text",
        ),
        (
            "unrecognized arguments: --trainer.max_epoch 3",
            ["--trainer.max_epoch", "3"],
            "--trainer.max_epoch: there is no such option; did you mean --trainer.max_epochs?",
        ),
        ("unrecognized arguments: --zzz", ["--zzz"], "--zzz: there is no such option; fit --help lists the options"),
        ("unrecognized arguments: stray", ["stray"], "stray: is not an option; options begin with --"),
        ("argument --data: expected one argument", ["--data.train_file"], "--data.train_file: has no value; give one"),
        (
            'Parser key "model":\n  Errors:\n    - Expected a dot import path string: Foo\n  Given value: Foo',
            ["--model", "Foo"],
            "--model Foo: there is no such class; give its import path, a.module.Class",
        ),
        (
            'Parser key "model":\n  Parser key "lora":\n    - Expected a dot import path string: yes\n  Given value: y',
            ["--model.lora=yes"],
            "--model.lora=yes: is not allowed; give a mapping of its options, or null",
        ),
        (
            "Parser key \"trainer.logger\":\n  Expected a <class 'bool'>\n  Given value: NestedArg(key='foo', val='0')",
            ["--trainer.logger.foo", "0"],
            "--trainer.logger.foo: there is no such option",
        ),
        ("something\n  else", [], "something else"),
    ],
)
def test_rejections_name_the_option_the_value_and_what_is_allowed(
    message: str, arguments: list[str], wanted: str
) -> None:
    assert explain(message, *arguments).startswith(wanted)


def test_an_option_of_a_config_is_named_with_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text("trainer:\n  max_epochs: 3\n")
    Path("bad.yaml").write_text("trainer: {}\nmodel:\n  class_path: x\n  init_args:\n    learning_rate: fast\n")
    wanted = "bad.yaml:5: model.learning_rate=fast: is not allowed"
    for arguments in (["--config", "bad.yaml", "--config", "good.yaml"], ["--config=bad.yaml"]):
        assert explain(TYPED, *arguments).startswith(wanted)
    message = "Subcommand 'fit' does not accept option 'trainr.max_epochs'"
    Path("bad.yaml").write_text("trainr:\n  max_epochs: 3\n")
    assert explain(message, "-c", "bad.yaml") == (
        "bad.yaml:2: trainr.max_epochs: there is no such option; did you mean trainer.max_epochs?"
    )


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--trainer.max_epoch", "3"], "--trainer.max_epoch: there is no such option; did you mean"),
        (
            ["--model.lerning_rate=3"],
            "--model.lerning_rate: there is no such option; did you mean --model.learning_rate",
        ),
        (["--trainer.accelerator", "foo"], "leave trainer.accelerator and trainer.devices out"),
        (["--export_dir", "file"], "file: is a file, and a folder is to be written"),
        (["--export_dir", "/proc/model"], "/proc/model: cannot be written"),
        (["--trainer.default_root_dir", "file/run"], "is a file, and a folder is to be written"),
        (["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "/proc/x"], "/proc/x: cannot be written"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_trainer_refuses_wrong_options_in_one_line(
    arguments: list[str],
    wanted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("train.jsonl").write_text('["Hello", "Hi"]\n')
    error = error_of(capsys, "--data.train_file", "train.jsonl", *arguments)
    [line] = [line for line in error.splitlines() if line.startswith("error: ")]
    assert wanted in line and "usage" not in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "train.jsonl"]

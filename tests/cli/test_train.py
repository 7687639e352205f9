"""`train FILE`: the files are split, options are chosen, and the trainer gets a config that can be used again."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from convmodel import ConversationModel
from convmodel.cli.train import train_files
from convmodel.data.conversation import read_conversations
from convmodel.trainer import main as trainer
from convmodel.training import run_plan

PRETRAINED = "--model.pretrained_model_name_or_path"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_plan, "measure_speed", lambda size: (5000.0, 2_200_000))
    return tmp_path


def write(name: str, count: int) -> None:
    lines = (json.dumps({"turns": [f"How are you on day {n}?", "Fine, thanks."]}) for n in range(count))
    Path(name).write_text("\n".join(lines), encoding="utf-8")


def config() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(Path("model.data/config.yaml").read_text(encoding="utf-8"))
    return values


def test_the_conversations_of_all_files_are_split(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.jsonl", 150)
    write("b.jsonl", 50)
    assert train_files(["a.jsonl", "b.jsonl"]) == ["fit", "--config=model.data/config.yaml"]
    train, valid = (list(read_conversations(f"model.data/{name}.jsonl")) for name in ("train", "valid"))
    assert len(train) + len(valid) == 200 and 5 < len(valid) < 40
    assert config()["data"]["train_file"] == "model.data/train.jsonl"
    assert config()["data"]["valid_file"] == "model.data/valid.jsonl"
    assert config()["export_dir"] == "model"
    output = capsys.readouterr().out
    assert "200 conversations" in output and "2 layers and width 256, 2.2 million parameters" in output
    assert f"validation: {len(valid)} conversations, in model.data/valid.jsonl" in output
    assert "python -m convmodel train --config model.data/config.yaml" in output


def test_few_conversations_are_all_learned(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.jsonl", 4)
    train_files(["a.jsonl"])
    assert "valid_file" not in config()["data"]
    assert len(list(read_conversations("model.data/train.jsonl"))) == 4
    assert "4 conversations are too few to set some aside" in capsys.readouterr().out


def test_a_pretrained_model_is_fine_tuned_with_lora() -> None:
    write("a.jsonl", 100)
    assert train_files(["a.jsonl", PRETRAINED, "gpt2"])[-2:] == [PRETRAINED, "gpt2"]
    assert config()["model"]["lora"] == {"r": 8, "alpha": 16}
    assert "from_scratch" not in config()["model"]


def test_options_of_readers_and_of_the_trainer_are_told_apart() -> None:
    Path("a.csv").write_text("q;a\nHi;Hello\n", encoding="utf-8")
    arguments = ["a.csv", "--columns", "context=q,response=a", "--output", "mine", "--trainer.max_steps", "3"]
    assert train_files(arguments) == ["fit", "--config=mine.data/config.yaml", "--trainer.max_steps", "3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jsonl"], "missing.jsonl: there is no such file"),
        (["vallidate"], "vallidate: there is no such file and no such subcommand; did you mean validate?"),
        (["config.yaml"], "config.yaml: is a config file; give it with --config config.yaml"),
        (["a.jsonl", "--minutes", "0"], "'0' is not a number of minutes above 0"),
        (["a.jsonl", "--minuts", "3"], "did you mean --minutes?"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    write("a.jsonl", 3)
    with pytest.raises(SystemExit) as exit_info:
        trainer(arguments)
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


@pytest.mark.slow
def test_a_model_is_trained_and_the_config_trains_it_again() -> None:
    write("a.jsonl", 60)
    more = ["--trainer.max_steps", "2", "--trainer.enable_progress_bar", "false", "--samples.contexts", "[]"]
    trainer(["a.jsonl", *more])
    reply = ConversationModel.from_pretrained("model").generate(["How are you?"], do_sample=False).responses
    trainer(["--config", "model.data/config.yaml", *more])
    assert ConversationModel.from_pretrained("model").generate(["How are you?"], do_sample=False).responses == reply

"""A short config has the usual options with a comment each, and the meaning of the whole config."""

import contextlib
from pathlib import Path

import pytest
import yaml

from convmodel.trainer import main
from convmodel.training.short_config import WIDTH, shorten

ROOT = Path(__file__).parents[2]

PRINTED = """\
# Customize every aspect of training via flags
trainer:

  # Supports passing different accelerator types ("cpu", "gpu")
  # as well as others. (type: Union[str, Accelerator], default: auto, known subclasses: a.B, a.C)
  accelerator: auto

  # Runs n batches. Default: ``False``. (type: Union[int, bool], default: False)
  fast_dev_run: false

  # Force training for at least these many epochs. (type: Optional[int], default: null)
  min_epochs: 2

# One or more arguments. (type: Optional[Module], default: {'class_path': 'x'})
model:
  class_path: x.Y

  # Trains a model
  init_args:

    # Averaging coefficients of AdamW. (type: tuple[float, float], default: (0.9, 0.95))
    betas:
    - 0.9
    - 0.95

    # Shares of files, such as `{general.jsonl: 0.1}`. Every epoch reads all. (type: Optional[dict], default: null)
    mix:
      a.jsonl: 0.5
"""


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 0
    return capsys.readouterr().out


def test_usual_and_changed_options_are_kept() -> None:
    short = shorten(PRINTED)
    assert short.splitlines()[2:] == [
        "model:  # what is trained, and how",
        "  class_path: x.Y",
        "  init_args:  # Trains a model",
        "    mix:  # Shares of files, such as `{general.jsonl: 0.1}`",
        "      a.jsonl: 0.5",
        "trainer:  # pytorch_lightning.Trainer, all of whose options are possible",
        '  accelerator: auto  # Supports passing different accelerator types ("cpu", "gpu") as well as others',
        "  min_epochs: 2  # Force training for at least these many epochs",
    ]


def test_other_betas_are_kept_on_one_line() -> None:
    values = yaml.safe_load(shorten(PRINTED.replace("0.95\n\n", "0.99\n\n")))
    assert values["model"]["init_args"]["betas"] == [0.9, 0.99]


CLASSES = {
    "conversations": [],
    "documents": ["--model=convmodel.training.DocumentModule", "--data=convmodel.training.DocumentDataModule"],
    "poly": ["--model=convmodel.training.PolyEncoderModule", "--data=convmodel.training.SelectionDataModule"],
}
CHANGED = [
    "--trainer.limit_val_batches=3",
    "--model.betas=[0.8, 0.9]",
    "--data.me=Ida",
    "--samples.contexts=[[Hi, Ho]]",
]


@pytest.mark.parametrize(
    "kind", ["conversations", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("documents", "poly"))]
)
def test_the_short_config_means_what_the_whole_one_does(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*CLASSES[kind], *CHANGED]
    short = printed([*arguments, "--print-config"], capsys)
    file = tmp_path / "config.yaml"
    file.write_text(short, encoding="utf-8")
    assert printed(["--config", str(file), "--print_config=all"], capsys) == printed(
        [*arguments, "--print_config=all"], capsys
    )
    lines = short.splitlines()
    assert len(lines) <= 80 and max(map(len, lines)) <= WIDTH + 30
    assert [name for name in yaml.safe_load(short)][:3] == ["data", "model", "trainer"]


def test_the_config_of_the_repository_stays_short(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.chdir(ROOT):
        short = printed(["--config", "config.yaml", "--print_config"], capsys)
    values = yaml.safe_load(short)
    assert len(short.splitlines()) <= 85
    assert values["samples"]["contexts"][0] == ["Hello"]

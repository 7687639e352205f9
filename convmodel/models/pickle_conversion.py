"""Conversion of a model folder with pickled weights into one with safetensors."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModel, PretrainedConfig, PreTrainedModel

from convmodel.data.json_file import COPY_AGAIN, refuse_lfs_pointer
from convmodel.models import unpickling
from convmodel.models.folder import MODEL_FILES, quiet_progress, replaced_folder
from convmodel.models.generation_file import GENERATION
from convmodel.models.loading import load_weights, read_model_config
from convmodel.models.weight_checks import CONFIG, sharded_files

PICKLE = "pytorch_model.bin"
INDEX = f"{PICKLE}.index.json"
WEIGHTS = "model.safetensors"
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP")
"""Environment variables that are passed to the process that reads the pickles; none of them contains secrets."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """The result of a conversion.

    Args:
        tensors: number of tensors in the pickles.
        isolated: whether the kernel disconnected the process that read the pickles from the network.
    """

    tensors: int
    isolated: bool


def convert_weights(folder: str | os.PathLike[str], output: str | os.PathLike[str]) -> Conversion:
    """Convert a folder whose weights are pickles into a folder with safetensors, configuration and tokenizer.

    The pickles are read by `torch.load` with `weights_only=True`, in a process without network or credentials. The
    converted weights are loaded and checked before the output folder is created.

    Raises:
        FileNotFoundError: when a file is missing.
        FileExistsError: when the output folder is not empty.
        ValueError: when there are no pickles, one of them contains code or is damaged, or the weights do not match the
            configuration.
    """
    source = Path(folder)
    target = Path(output)
    pickles = _pickles(source)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target}: is not empty; give a new folder")
    config = read_model_config(str(source))
    with replaced_folder(target) as fresh, tempfile.TemporaryDirectory(dir=fresh.parent) as staging:
        report = _unpickle(pickles, Path(staging) / WEIGHTS)
        for name in (CONFIG, GENERATION):
            if (source / name).is_file():
                shutil.copyfile(source / name, Path(staging) / name)
        model = load_weights(
            _class_of(config), staging, config, dtype=getattr(torch, report["dtype"]), title=str(source)
        )
        with quiet_progress():
            model.save_pretrained(fresh)
        for file in source.iterdir():  # decoding options, tokenizer and the files of this package
            if file.is_file() and file.name not in (CONFIG, INDEX) and MODEL_FILES.fullmatch(file.name):
                shutil.copyfile(file, fresh / file.name)
    return Conversion(report["tensors"], report["isolated"])


def _pickles(folder: Path) -> list[Path]:
    """Return the pickle files of a folder's weights; see `convert_weights` for errors."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder; download the model first: hf download OWNER/NAME --local-dir {folder}"
        )
    if [*folder.glob("*.safetensors")]:
        raise ValueError(f"{folder}: has safetensors already; give it to --model as it is")
    if (folder / INDEX).is_file():
        files = sharded_files(folder / INDEX)
    elif (folder / PICKLE).is_file():
        files = [folder / PICKLE]
    else:
        raise ValueError(f"{folder}: holds no {PICKLE} and no {INDEX}, so there is nothing to convert")
    for file in files:
        refuse_lfs_pointer(file)
    return files


def _unpickle(pickles: list[Path], output: Path) -> dict[str, Any]:
    """Run the program `unpickling` on some files, and return its report.

    Raises:
        ValueError: when a pickle contains code or is damaged.
    """
    with tempfile.TemporaryDirectory() as home:
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        # Isolated mode (-I) ignores environment variables and folders from which Python would import other code.
        done = subprocess.run(
            [
                sys.executable,
                "-I",
                unpickling.__file__,
                *(str(file.resolve()) for file in pickles),
                str(output.resolve()),
            ],
            env=kept | {"HOME": home, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
        raise ValueError(f"{pickles[0]}: reading it ended with status {done.returncode} ({reason})")
    report: dict[str, Any] = json.loads(lines[-1])
    if "code" in report:
        raise ValueError(
            f"{report['file']}: contains code ({report['code']}) beside tensors and was not converted; ask its authors "
            "for safetensors, or take another model"
        )
    if "damage" in report:
        raise ValueError(f"{report['file']}: cannot be read as weights ({report['damage']}); {COPY_AGAIN}")
    return report


def _class_of(config: PretrainedConfig) -> Any:
    """Return the transformers class that a configuration names, so that heads are converted too; else `AutoModel`."""
    named = getattr(transformers, (config.architectures or [""])[0], None)
    return named if isinstance(named, type) and issubclass(named, PreTrainedModel) else AutoModel

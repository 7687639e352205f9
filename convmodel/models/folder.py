"""A Hub name or folder in, a place that is safe to load from or to replace out."""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download, snapshot_download
from torch import Tensor
from transformers import AutoConfig, GPT2Config
from transformers.utils import logging as transformers_logging

from convmodel.data.atomic import atomic_folder

DOCUMENT_FILE = "document.json"
"""Beside the files of transformers: tells a model that writes documents from one that replies."""

MODEL_FILES = re.compile(
    r"config\.json|selector\.json|document\.json|generation_config\.json|.*\.safetensors(\.index\.json)?|tokenizer.*\.(json|model)|vocab\.(json|txt)"
    r"|merges\.txt|special_tokens_map\.json|added_tokens\.json|chat_template\.jinja|README\.md|\.gitattributes|\.git"
)
PICKLES = re.compile(r".*\.(bin|pt|pth|pkl|ckpt)")


def checked_source(name_or_path: str | os.PathLike[str], *, needs: str = "config.json") -> str:
    """What to load a model from, once it is known that it can be found and holds no pickles in place of weights.

    Args:
        name_or_path: a folder or a Hub name.
        needs: the file that makes a folder one of a model.

    Raises:
        FileNotFoundError: when there is no such folder and no such Hub name.
        ValueError: when a folder has no safetensors.
    """
    name = os.fspath(name_or_path)
    folder = Path(name)
    if folder.is_dir():
        _check_folder(folder, needs)
        return name
    looks_like_a_path = folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or "\\" in name
    if looks_like_a_path or folder.exists():
        raise FileNotFoundError(f"{name}: no such folder; give the folder of a saved model, or a Hub name such as gpt2")
    return name


def local_folder(source: str) -> Path:
    """The folder that a source is, or into which it is fetched from the Hub, without pickles.

    Args:
        source: what `checked_source` gave.

    Raises:
        FileNotFoundError: when the Hub, as far as it can be reached, has no such name.
    """
    if Path(source).is_dir():
        return Path(source)
    try:
        return Path(snapshot_download(source, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"]))
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"{source}: no such folder here, and the Hub gave no such model ({str(error).splitlines()[0]})"
        ) from error


def has_file(source: str | os.PathLike[str], name: str) -> bool:
    """Whether a folder has a file, or a Hub name as far as the Hub can be reached; not where there is no such place."""
    return local_file(source, name) is not None


def local_file(source: str | os.PathLike[str], name: str) -> Path | None:
    """The file, fetched from the Hub where it is not here; None where `has_file` is not."""
    if Path(source).is_dir():
        file = Path(source) / name
        return file if file.is_file() else None
    try:
        return Path(hf_hub_download(os.fspath(source), name))
    except (OSError, ValueError):
        return None


def load_config(source: str) -> GPT2Config:
    """The configuration of a GPT-2.

    Args:
        source: what `checked_source` gave.

    Raises:
        FileNotFoundError: when the Hub, as far as it can be reached, has no such name.
        ValueError: when it is another kind of model.
    """
    try:
        config = AutoConfig.from_pretrained(source)
    except OSError as error:
        raise FileNotFoundError(
            f"{source}: no such folder here, and the Hub gave no such model ({str(error).splitlines()[0]})"
        ) from error
    if not isinstance(config, GPT2Config):
        raise ValueError(f"{source}: holds a {config.model_type!r} model; a model that writes is a GPT-2")
    return config


def _check_folder(folder: Path, needs: str) -> None:
    names = [file.name for file in folder.iterdir()]
    if needs not in names:
        raise ValueError(f"{folder}: {_instead(names, needs)}; give one made by save_pretrained")
    if any(name.endswith(".safetensors") for name in names):
        return
    if pickles := sorted(name for name in names if PICKLES.fullmatch(name)):
        raise ValueError(
            f"{folder}: its weights are the pickle {pickles[0]}, which could run anything and is not read; "
            "save the model as safetensors with software you trust it to"
        )
    raise ValueError(f"{folder}: holds no weights (*.safetensors)")


def _instead(names: list[str], needs: str) -> str:
    if "selector.json" in names:
        return "holds a model that chooses replies, not one that writes them"
    if needs == "selector.json" and "config.json" in names:
        return "holds a model of transformers, such as one that writes replies, not one that chooses them"
    return f"holds no {needs}, so it is no model folder"


def check_replaceable(
    folder: str | os.PathLike[str], *, what: str = "a model", belongs: Callable[[str], object] = MODEL_FILES.fullmatch
) -> None:
    """Makes sure that saving something to a folder removes nothing but an older one of its like.

    Args:
        folder: where it is to be saved; there may be nothing yet.
        what: what is to be saved.
        belongs: whether a file of this name is part of one.

    Raises:
        FileExistsError: when something else is there.
    """
    target = Path(folder)
    if not target.exists():
        return
    if not target.is_dir():
        raise FileExistsError(f"{target}: is a file; choose another folder for {what}")
    strangers = sorted(file.name for file in target.iterdir() if not belongs(file.name))
    if strangers:
        raise FileExistsError(
            f"{target}: holds {strangers[0]!r}, which saving {what} here would remove; "
            "choose another folder, or move it"
        )


@contextlib.contextmanager
def replaced_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives an empty folder to save a model into, which takes the place of `folder` at the end, in one step."""
    check_replaceable(folder)
    with atomic_folder(folder) as fresh:
        yield fresh


@contextlib.contextmanager
def quiet_progress() -> Iterator[None]:
    """Keeps transformers from drawing progress bars for what takes a moment; downloads still draw theirs."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def weights_digest(described: object, weights: Mapping[str, Tensor]) -> str:
    """Return a digest of weights. Half-precision values are widened first: it does not depend on the type they are in.

    Args:
        described: whatever else an output depends on; its `repr` must tell it whole.
        weights: by name.
    """
    digest = hashlib.blake2b(repr(described).encode(), digest_size=16)
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        values = tensor.detach().cpu()
        if values.dtype in (torch.bfloat16, torch.float16):
            values = values.float()
        digest.update(values.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()

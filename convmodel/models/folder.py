"""Model folders: checks before loading, files from the Hub, atomic replacement, and digests of weights."""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from transformers.utils import logging as transformers_logging

from convmodel.data.atomic import atomic_folder, check_folder_writable
from convmodel.data.json_file import read_json_object
from convmodel.models.hub import find_connection_error, may_be_on_hub

DAMAGE = (
    *(ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError, ImportError),
    *(SafetensorError, StrictDataclassError),
)
"""Errors that transformers raises for damaged or unsupported files.

They include ImportError, for quantized weights that need another library.
"""

DOCUMENT_FILE = "document.json"
"""File of this package in a model's folder, which distinguishes a document model from a conversation model."""

CONVERSATION_FILE = "conversation.json"
"""File of this package in a model's folder, with the layout of a conversation model."""

MODEL_FILES = re.compile(
    r"(adapter_)?config\.json|(selector|fusion|document|conversation|generation_config)\.json|tokenizer.*\.(json|model)"
    r"|.*\.safetensors(\.index\.json)?|vocab\.(json|txt)"
    r"|merges\.txt|special_tokens_map\.json|added_tokens\.json|chat_template\.jinja|README\.md|\.gitattributes|\.git"
)
PICKLES = re.compile(r".*\.(bin|pt|pth|pkl|ckpt)")


def checked_source(name_or_path: str | os.PathLike[str], *, needs: str = "config.json", weights: bool = True) -> str:
    """Check a folder or Hub name of a model, and return it as a string.

    A folder must have safetensors, not pickles. For a Hub name that is not in the cache, the Hub must be reachable, but
    whether it has the model is not checked.

    Args:
        name_or_path: the folder or Hub name.
        needs: a file that a folder must have.
        weights: whether to check for safetensors; see `check_weights`.

    Raises:
        FileNotFoundError: when there is no such folder, and the name cannot be a Hub name or the Hub cannot be reached.
        ValueError: when a folder lacks `needs` or has no safetensors.
    """
    name = os.fspath(name_or_path)
    folder = Path(name)
    if folder.is_dir():
        _check_folder(folder, needs)
        if weights:
            check_weights(folder, WEIGHTS.get(needs, "model.safetensors"))
        return name
    if folder.exists():
        raise FileNotFoundError(f"{name}: is a file, not a folder; give the folder of a saved model, or a .gguf file")
    if not may_be_on_hub(name):
        raise FileNotFoundError(
            f"{name}: no such folder here, and names on the Hub are OWNER/NAME, gpt2, bert-base-uncased and the like; "
            "give the folder of a saved model, or train one (python -m convmodel.trainer --config config.yaml)"
        )
    if reason := find_connection_error(name):
        raise FileNotFoundError(
            f"{name}: no such folder here, and the Hugging Face Hub cannot be reached ({reason}); give the folder of a "
            "saved model, or connect this machine to the network"
        )
    return name


def local_folder(source: str) -> Path:
    """Return the local folder of a checked folder or Hub name; if necessary, download it from the Hub, without pickles.

    Raises:
        FileNotFoundError: when the Hub has no such name or cannot be reached.
    """
    if Path(source).is_dir():
        return Path(source)
    with named_in_errors(source, OSError, ValueError):
        return Path(snapshot_download(source, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"]))


@contextlib.contextmanager
def named_in_errors(source: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn errors of the Hub inside the block into a FileNotFoundError that names the source."""
    try:
        yield
    except errors as error:
        raise FileNotFoundError(
            f"{source}: no such folder here, and the Hub returned no such model ({str(error).splitlines()[0]})"
        ) from error


@contextlib.contextmanager
def naming_pickles(source: str, loader: str) -> Iterator[None]:
    """Turn transformers' error for a Hub model that has only pickles into a ValueError with a remedy.

    Args:
        source: the Hub name.
        loader: name of the transformers class that loads the model, for the remedy.
    """
    try:
        yield
    except OSError as error:
        if "cannot be loaded with `safetensors`" not in str(error):
            raise
        folder = source.rpartition("/")[2]
        raise ValueError(
            f"{source}: the Hub has no safetensors of it; its weights are pickles, which could run anything and are "
            f"not read. Convert them: hf download {source} --local-dir {folder}, and then python -m convmodel "
            f"convert-weights {folder} OUT; or, where you trust them, in Python: from transformers import {loader}, "
            f"AutoTokenizer; {loader}.from_pretrained({source!r}, use_safetensors=False).save_pretrained({folder!r}); "
            f"AutoTokenizer.from_pretrained({source!r}).save_pretrained({folder!r})"
        ) from error


@contextlib.contextmanager
def naming(source: str) -> Iterator[None]:
    """Turn errors inside the block that are due to a file's contents into a ValueError of one line with `source`."""
    try:
        yield
    except DAMAGE as error:
        is_named = str(error).startswith(f"{source}: ")
        raise ValueError(" ".join(str(error).split()) if is_named else f"{source}: {summary(error)}") from error


def summary(error: Exception) -> str:
    """Return the text of an error in one line of at most 300 characters."""
    text = repr(error) if isinstance(error, KeyError | TypeError | AttributeError) else str(error)
    return " ".join(text.split())[:300]


def has_file(source: str | os.PathLike[str], name: str) -> bool:
    """Return whether a folder or Hub name has a file; False if it does not exist or the Hub cannot be reached."""
    return local_file(source, name) is not None


def local_file(source: str | os.PathLike[str], name: str) -> Path | None:
    """Return the path of a file of a folder or Hub name; if necessary, download it.

    The result is None if there is no such file or the Hub cannot be reached.
    """
    if Path(source).is_dir():
        file = Path(source) / name
        return file if file.is_file() else None
    if not may_be_on_hub(os.fspath(source)) or find_connection_error(os.fspath(source)):
        return None
    try:
        return Path(hf_hub_download(os.fspath(source), name))
    except (OSError, ValueError):
        return None


WEIGHTS = {"adapter_config.json": "adapter_model.safetensors"}
"""The weight file that belongs to a configuration file, if it is not model.safetensors."""


def _check_folder(folder: Path, needs: str) -> None:
    names = sorted(file.name for file in folder.iterdir())
    if needs not in names and (files := [name for name in names if name.endswith(".gguf")]):
        raise ValueError(f"{folder}: holds GGUF files and no {needs}; give one of them, such as {folder / files[0]}")
    if needs not in names:
        inside = next((file.parent for file in (*folder.glob(f"*/{needs}"), *folder.glob(f"*/*/{needs}"))), None)
        remedy = f"give the one inside of it, {inside}" if inside else "give one made by save_pretrained"
        raise ValueError(f"{folder}: {_describe_contents(names, needs)}; {remedy}")


def check_weights(folder: Path, weights: str = "model.safetensors") -> None:
    """Raise a ValueError when a folder does not have the weight file `weights` or its index, with a fitting remedy."""
    names = sorted(file.name for file in folder.iterdir())
    if weights in names or f"{weights}.index.json" in names:
        return
    if others := [name for name in names if name.endswith(".safetensors")]:
        raise ValueError(
            f"{folder}: holds no {weights}; the weights in {others[0]} are read only if they have this name, or if "
            f"{weights}.index.json names their files: rename them, or copy the index too"
        )
    if pickles := [name for name in names if PICKLES.fullmatch(name)]:
        reads_apart = "config.json" in names and read_json_object(folder / "config.json").get("is_encoder_decoder")
        loader = "AutoModelForSeq2SeqLM" if reads_apart else "AutoModelForCausalLM"
        raise ValueError(
            f"{folder}: its weights are the pickle {pickles[0]}, which could run anything and is not read; "
            f"convert it: python -m convmodel convert-weights {folder} OUT, or, where you trust it, in Python: "
            f"from transformers import {loader}; {loader}.from_pretrained({str(folder)!r}, "
            f"use_safetensors=False).save_pretrained({str(folder)!r})"
        )
    raise ValueError(f"{folder}: holds no weights ({weights}); copy or download them too")


def _describe_contents(names: list[str], needs: str) -> str:
    if "selector.json" in names:
        return "holds a model that chooses replies, not one that writes them"
    if needs == "selector.json" and "config.json" in names:
        return "holds a transformers model, such as a model that generates replies, but no selector"
    return f"holds no {needs}, so it is not a model folder"


def check_replaceable(
    folder: str | os.PathLike[str], *, what: str = "a model", belongs: Callable[[str], object] = MODEL_FILES.fullmatch
) -> None:
    """Check that replacing a folder would remove only files of a model. The folder need not exist.

    Args:
        folder: the folder.
        what: the thing that will be saved, for errors.
        belongs: a function that returns whether a file of this name may be removed.

    Raises:
        FileExistsError: when the path is a file, or the folder contains other files.
        PermissionError: when the folder cannot be written.
    """
    check_folder_writable(folder, replaced=True)
    target = Path(folder)
    inside = target.iterdir() if target.exists() else ()
    strangers = sorted(file.name for file in inside if not belongs(file.name))
    if strangers:
        raise FileExistsError(
            f"{target}: holds {strangers[0]!r}, which saving {what} here would remove; "
            "choose another folder, or move it"
        )


@contextlib.contextmanager
def replaced_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder that atomically replaces `folder` when the block ends without an error."""
    check_replaceable(folder)
    with atomic_folder(folder) as fresh:
        yield fresh


@contextlib.contextmanager
def quiet_progress() -> Iterator[None]:
    """Disable transformers' progress bars for loading and saving; download progress bars are not affected."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def weights_digest(described: object, weights: Mapping[str, Tensor]) -> str:
    """Return a digest of everything that a model's outputs depend on.

    Half-precision weights are converted to float32 first, so that equal values have equal digests in all types.

    Args:
        described: all values other than weights; their `repr` is digested.
        weights: the weights by name.
    """
    digest = hashlib.blake2b(repr(described).encode(), digest_size=16)
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        values = tensor.detach().cpu()
        if values.dtype in (torch.bfloat16, torch.float16):
            values = values.float()
        digest.update(values.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()

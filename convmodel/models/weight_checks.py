"""Checks of weights: files are complete, tensors match the configuration, and values are finite."""

import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from convmodel.data.json_file import COPY_AGAIN, read_json_object, refuse_lfs_pointer
from convmodel.models.folder import summary

logger = logging.getLogger(__name__)

CONFIG = "config.json"
INDEX = ".safetensors.index.json"


def check_weight_files(source: str) -> None:
    """Check that each safetensors file of a folder is complete, and that a sharded model has all its files.

    Raises:
        FileNotFoundError, ValueError: for the first file that is missing or damaged.
    """
    folder = Path(source)
    for file in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        check_weight_file(file)
    for index in sorted(folder.glob(f"*{INDEX}")) if folder.is_dir() else ():
        sharded_files(index)


def sharded_files(index: Path) -> list[Path]:
    """Return the files that the index of a sharded model names.

    Raises:
        FileNotFoundError, ValueError: when a file is missing, or the index is damaged.
    """
    shards = read_json_object(index).get("weight_map")
    if not isinstance(shards, dict):
        raise ValueError(f'{index}: has no "weight_map" of tensors and files; {COPY_AGAIN}')
    if others := [name for name in shards.values() if Path(str(name)).name != name]:
        raise ValueError(f"{index}: names {others[0]!r}, which is not a file of this folder; {COPY_AGAIN}")
    files = [index.with_name(name) for name in sorted({*shards.values()})]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: is missing, and {index.name} names it; {COPY_AGAIN}")
    return files


def check_weight_file(file: Path) -> None:
    """Raise ValueError when a path is not a file, or a safetensors file is damaged or only a pointer of Git LFS."""
    if not file.is_file():
        kind = "a link that leads nowhere" if file.is_symlink() else "a folder, not a file"
        raise ValueError(f"{file}: is {kind}; {COPY_AGAIN}, with the files behind its links (cp -rL)")
    refuse_lfs_pointer(file)
    try:
        with safe_open(file, "pt"):
            pass
    except SafetensorError as error:
        size = file.stat().st_size
        raise ValueError(f"{file}: is damaged or cut off at {size:,} bytes ({summary(error)}); {COPY_AGAIN}") from error


SIZES = (
    *("num_hidden_layers", "n_layer", "num_layers", "num_attention_heads", "n_head", "num_key_value_heads"),
    *("hidden_size", "n_embd", "intermediate_size", "vocab_size", "max_position_embeddings", "n_positions"),
)
"""Names of sizes in configurations that must be at least 1."""


def check_sizes(file: Path, config: Mapping[str, Any]) -> None:
    """Raise ValueError when a size in a configuration is below 1; transformers checks the other values."""
    for name in SIZES:
        size = config.get(name)
        if isinstance(size, int) and size < 1:
            raise ValueError(f"{file}: {name}={size}; allowed are whole numbers from 1; {COPY_AGAIN}")


FLOATS = ("F64", "F32", "F16", "BF16", "float64", "float32", "float16", "bfloat16")
"""Names of floating-point types, in safetensors files and in torch."""


def saved_types(source: str, model: PreTrainedModel) -> Iterator[tuple[str, str]]:
    """Yield the name and the type of each weight in a folder's safetensors files; buffers are left out."""
    prefix = f"{model.base_model_prefix}."
    own = {name.removeprefix(prefix) for name, _ in cast(torch.nn.Module, model).named_parameters()}
    for file in sorted(Path(source).glob("model*.safetensors")):
        with safe_open(file, "pt") as tensors:
            names: list[str] = tensors.keys()
            for name in names:
                if name.removeprefix(prefix) in own:
                    yield name, tensors.get_slice(name).get_dtype()


def check_types(source: object, types: Iterable[tuple[str, str]]) -> None:
    """Raise ValueError for weights that are not floating-point numbers, such as quantized ones.

    Transformers would use them like ordinary weights.

    Args:
        source: the name of the model in errors.
        types: pairs of the name and the type of a weight, see `saved_types`.
    """
    for name, kind in types:
        if kind not in FLOATS:
            raise ValueError(
                f"{source}: its weights hold {name} as {kind}; allowed are {', '.join(FLOATS[:4])}: give the "
                "model as it was before it was quantised or converted"
            )


def check_names(
    source: str,
    config: PretrainedConfig,
    model: PreTrainedModel,
    *,
    missing: Iterable[str],
    unexpected: Iterable[str],
) -> None:
    """Raise ValueError for missing tensors, and for tensors of more layers than the configuration has.

    Other unexpected tensors, such as the head of another task, are not loaded, and their names are logged.

    Args:
        source: the name of the model in errors.
        config: the configuration.
        model: the loaded model.
        missing: names of the model's tensors that the files lack.
        unexpected: names of tensors in the files that the model does not have.
    """
    names = [*cast(torch.nn.Module, model).state_dict()]
    if absent := sorted(missing):
        raise ValueError(missing_weights(source, absent, f"the {len(names)} of the {config.model_type!r} in {CONFIG}"))
    strangers = sorted(unexpected)
    prefix = f"{model.base_model_prefix}."
    layers = {_pattern(name.removeprefix(prefix)) for name in names} - {None}
    for name in strangers:
        if _pattern(name.removeprefix(prefix)) in layers:
            raise ValueError(
                f"{source}: its weights hold {name}, and the {config.model_type!r} in {CONFIG} has no such layer; "
                "set the number of layers there to that of the weights, or save the model again"
            )
    if strangers:
        logger.warning("%s: %d tensors of its weights are left out: %s", source, len(strangers), first_names(strangers))


def missing_weights(source: str, names: list[str], whole: str) -> str:
    """Return the error message for missing tensors.

    Args:
        source: the name of the model.
        names: the names of the missing tensors, sorted.
        whole: a phrase for all tensors that the model should have, such as "the 148 of the 'gpt2' in config.json".
    """
    return (
        f"{source}: its weights lack {len(names)} of {whole}: {first_names(names)}; random numbers would take their "
        "place. Copy or download the weights again, or save the model again with save_pretrained"
    )


def check_shapes(source: str, mismatched: Iterable[tuple[str, Any, Any]], *, by: str = CONFIG) -> None:
    """Raise ValueError for tensors whose shape differs from the configuration.

    Args:
        source: the name of the model in errors.
        mismatched: for each such tensor, its name, its shape, and the expected shape.
        by: the name of the file that determines the expected shape.
    """
    for name, found, expected in sorted(mismatched, key=lambda row: row[0]):
        raise ValueError(
            f"{source}: its weights hold {name} with the shape {tuple(found)}, and {by} asks for "
            f"{tuple(expected)}; give the two files of one model"
        )


def check_finite(source: object, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Raise ValueError when a tensor holds NaN or infinity."""
    for name, tensor in weights:
        if tensor.is_floating_point() and not math.isfinite(_sum(tensor.detach())):
            finite = tensor.detach().isfinite()
            if not finite.all():  # otherwise only the sum is too large
                raise ValueError(
                    f"{source}: {name} holds NaN or infinity ({int((~finite).sum()):,} of {tensor.numel():,} values as "
                    f"{str(tensor.dtype).removeprefix('torch.')}); the training that made it has diverged, or the "
                    "file is damaged: give an earlier model, or copy it again"
                )


def _sum(tensor: Tensor) -> float:
    """Return the sum of a tensor; if possible by numpy, whose single thread does not wait for busy cores."""
    if tensor.dtype == torch.float32 and tensor.device.type == "cpu":
        with np.errstate(all="ignore"):
            return float(np.add.reduce(tensor.numpy(), axis=None))
    return float(tensor.sum(dtype=torch.float32))


def _pattern(name: str) -> str | None:
    """Return a tensor's name with 0 as the number of its layer; None for a tensor outside of numbered layers."""
    return re.sub(r"\.\d+\.", ".0.", name) if re.search(r"\.\d+\.", name) else None


def first_names(names: list[str], count: int = 3) -> str:
    """Return the first `count` names in one text for a message, with "..." if there are more."""
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")

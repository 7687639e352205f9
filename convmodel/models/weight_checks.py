"""Checks of weights: whole files, the tensors of the configuration and no others, and finite values."""

import logging
import math
import re
from collections.abc import Iterable
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
    """Check that each safetensors file of a folder is whole, and that a sharded model has all its files.

    Raises:
        FileNotFoundError, ValueError: for the first file that is missing or damaged.
    """
    folder = Path(source)
    for file in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        check_weight_file(file)
    for index in sorted(folder.glob(f"*{INDEX}")) if folder.is_dir() else ():
        sharded_files(index)


def sharded_files(index: Path) -> list[Path]:
    """Return the files that the index of a sharded model names, all of which must be there."""
    shards = read_json_object(index).get("weight_map")
    if not isinstance(shards, dict) or not all(Path(str(name)).name == name for name in shards.values()):
        raise ValueError(f'{index}: has no "weight_map" of tensors and files; {COPY_AGAIN}')
    files = [index.with_name(name) for name in sorted({*shards.values()})]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: is missing, and {index.name} names it; {COPY_AGAIN}")
    return files


def check_weight_file(file: Path) -> None:
    """Raise ValueError when a safetensors file is a pointer of Git LFS, cut off or otherwise damaged."""
    refuse_lfs_pointer(file)
    try:
        with safe_open(file, "pt"):
            pass
    except SafetensorError as error:
        size = file.stat().st_size
        raise ValueError(f"{file}: is damaged or cut off at {size:,} bytes ({summary(error)}); {COPY_AGAIN}") from error


def check_names(
    source: str,
    config: PretrainedConfig,
    model: PreTrainedModel,
    *,
    missing: Iterable[str],
    unexpected: Iterable[str],
) -> None:
    """Raise ValueError for missing tensors, and for those of layers that the configuration does not count.

    Other tensors that the model does not have, such as the head of another task, are left out, and that is logged.
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
    """Return the message for missing tensors, sorted by name; `whole` says how many there should be."""
    return (
        f"{source}: its weights lack {len(names)} of {whole}: {first_names(names)}; random numbers would take their "
        "place. Copy or download the weights again, or save the model again with save_pretrained"
    )


def check_shapes(source: str, mismatched: Iterable[tuple[str, Any, Any]], *, by: str = CONFIG) -> None:
    """Raise ValueError for tensors with another shape than in the file `by`; each has a name and the two shapes."""
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
    """Return the sum of a tensor, where possible by numpy: its one thread does not wait for the cores of others."""
    if tensor.dtype == torch.float32 and tensor.device.type == "cpu":
        with np.errstate(all="ignore"):
            return float(np.add.reduce(tensor.numpy(), axis=None))
    return float(tensor.sum(dtype=torch.float32))


def _pattern(name: str) -> str | None:
    """Return the name that a tensor shares with those of other layers; None for one outside of the layers."""
    return re.sub(r"\.\d+\.", ".0.", name) if re.search(r"\.\d+\.", name) else None


def first_names(names: list[str], count: int = 3) -> str:
    """Return the first of some names, for a message."""
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")

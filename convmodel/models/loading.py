"""Loading of configurations and weights of transformers, which fails where transformers would fill in or leave out."""

import contextlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    GPT2Config,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers import __version__ as transformers_version

from convmodel.data.json_file import COPY_AGAIN, read_json_object, refuse_lfs_pointer
from convmodel.models.folder import named_in_errors, quiet_progress

logger = logging.getLogger(__name__)

CONFIG = "config.json"
INDEX = ".safetensors.index.json"
DAMAGE = (ValueError, TypeError, KeyError, AttributeError, RuntimeError, SafetensorError, StrictDataclassError)
"""Errors that transformers raises for the contents of files."""

LOADER = logging.getLogger("transformers.modeling_utils")


def read_model_config(source: str) -> PretrainedConfig:
    """Return the configuration of any model of transformers, by a folder or Hub name that is checked.

    Raises:
        FileNotFoundError: when the Hub has no such name or cannot be reached.
        ValueError: when config.json cannot be read, or has an unknown architecture or a value of the wrong type.
    """
    file = Path(source) / CONFIG
    if Path(source).is_dir():
        saved = read_json_object(file)
        name = saved.get("model_type")
        if not isinstance(name, str) or name not in CONFIG_MAPPING:
            why = "needs code of that folder, which is not run" if "auto_map" in saved else "is unknown"
            raise ValueError(
                f"{file}: model_type is {name!r}, which {why} (transformers {transformers_version}); "
                "give a model of one of its architectures, saved by save_pretrained"
            )
    with naming(str(file)), named_in_errors(source, OSError):
        return cast(PretrainedConfig, AutoConfig.from_pretrained(source, trust_remote_code=False))


def load_config(source: str) -> GPT2Config:
    """Return the configuration of the GPT-2 of a source that is checked.

    Raises:
        FileNotFoundError, ValueError: as `read_model_config`, and when the model is not a GPT-2.
    """
    config = read_model_config(source)
    if not isinstance(config, GPT2Config):
        raise ValueError(f"{source}: holds a {config.model_type!r} model; a model that writes is a GPT-2")
    return config


def load_weights(
    auto_class: Any, source: str, config: PretrainedConfig, *, dtype: torch.dtype, unused: str = "", head: str = ""
) -> PreTrainedModel:
    """Load a model of transformers whose weights are whole, finite and those of its configuration.

    Args:
        auto_class: the class whose `from_pretrained` loads it.
        source: a folder or Hub name that is checked.
        unused: the beginning of the names of tensors that may be missing, because nothing uses them.
        head: the name of the head in the error for a model that lacks nothing but its head.

    Raises:
        FileNotFoundError: when a file is missing, or the Hub cannot be reached.
        ValueError: when a file is damaged, or tensors are missing, have other shapes, are of layers that the
            configuration does not count, or hold NaN or infinity.
    """
    check_weight_files(source)
    options = {"config": config, "dtype": dtype, "use_safetensors": True, "trust_remote_code": False}
    whole = naming(f"{source}: its {CONFIG} or weights cannot be used")
    with quiet_progress(), _without_report(), whole, named_in_errors(source, OSError):
        model, report = auto_class.from_pretrained(
            source, **options, ignore_mismatched_sizes=True, output_loading_info=True
        )
    missing = [name for name in report["missing_keys"] if not (unused and name.startswith(unused))]
    if head and missing and not any(name.startswith(f"{model.base_model_prefix}.") for name in missing):
        raise ValueError(
            f"{source}: holds a {config.model_type} model without {head} (there is no {min(missing)}); "
            "give one that was trained for this, and saved by save_pretrained"
        )
    check_names(source, config, model, missing=missing, unexpected=report["unexpected_keys"])
    check_shapes(source, report["mismatched_keys"])
    check_finite(source, cast(torch.nn.Module, model).state_dict())
    return cast(PreTrainedModel, model)


def check_weight_files(source: str) -> None:
    """Check that each safetensors file of a folder is whole, and that a sharded model has all its files.

    Raises:
        FileNotFoundError, ValueError: for the first file that is missing or damaged.
    """
    folder = Path(source)
    for file in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        check_weight_file(file)
    for index in sorted(folder.glob(f"*{INDEX}")) if folder.is_dir() else ():
        shards = read_json_object(index).get("weight_map")
        if not isinstance(shards, dict):
            raise ValueError(f'{index}: has no "weight_map" of tensors and files; {COPY_AGAIN}')
        for shard in sorted({*map(str, shards.values())}):
            if not (folder / shard).is_file():
                raise FileNotFoundError(f"{folder / shard}: is missing, and {index.name} names it; {COPY_AGAIN}")


def check_weight_file(file: Path) -> None:
    """Raise ValueError when a safetensors file is a pointer of Git LFS, cut off or otherwise damaged."""
    refuse_lfs_pointer(file)
    try:
        with safe_open(file, "pt"):
            pass
    except SafetensorError as error:
        size = os.stat(file).st_size
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
        logger.warning("%s: %d tensors of its weights are left out: %s", source, len(strangers), _first(strangers))


def missing_weights(source: str, names: list[str], whole: str) -> str:
    """Return the message for missing tensors, sorted by name; `whole` says how many there should be."""
    return (
        f"{source}: its weights lack {len(names)} of {whole}: {_first(names)}; random numbers would take their place. "
        "Copy or download the weights again, or save the model again with save_pretrained"
    )


def check_shapes(source: str, mismatched: Iterable[tuple[str, Any, Any]], *, by: str = CONFIG) -> None:
    """Raise ValueError for tensors with another shape than in the file `by`; each has a name and the two shapes."""
    for name, found, expected in sorted(mismatched, key=lambda row: row[0]):
        raise ValueError(
            f"{source}: its weights hold {name} with the shape {tuple(found)}, and {by} asks for "
            f"{tuple(expected)}; give the two files of one model"
        )


def check_finite(source: object, weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError when a tensor holds NaN or infinity."""
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not tensor.detach().sum(dtype=torch.float32).isfinite():
            finite = tensor.detach().isfinite()
            if not finite.all():  # otherwise only the sum is too large
                raise ValueError(
                    f"{source}: {name} holds NaN or infinity ({int((~finite).sum()):,} of {tensor.numel():,} values as "
                    f"{str(tensor.dtype).removeprefix('torch.')}); the training that made it has diverged, or the "
                    "file is damaged: give an earlier model, or copy it again"
                )


def check_vocabulary(source: str, tokenizer: PreTrainedTokenizerBase, rows: int, *, may_be_new: bool = False) -> None:
    """Raise ValueError when a tokenizer has tokens beyond the rows of trained embeddings.

    Args:
        may_be_new: whether added tokens, such as a separator, may lie beyond, because the model is going to be trained;
            that is logged.
    """
    added = tokenizer.added_tokens_decoder
    size = max(tokenizer.get_vocab().values()) + 1  # ids may have gaps
    beyond = range(rows, size)
    names = [repr(tokenizer.convert_ids_to_tokens(number)) for number in beyond[:4]]
    if may_be_new and all(number in added for number in beyond):
        if names:
            logger.warning("%s: new embeddings are made for the added tokens %s", source, _first(names))
    elif names:
        raise ValueError(
            f"{source}: its tokenizer has {size:,} tokens and its weights have rows for {rows:,}: the "
            f"embeddings of {_first(names)} would be random numbers. Copy the tokenizer that the model was trained "
            "with there, or fine-tune the model (--model.pretrained_model_name_or_path)"
        )


def _pattern(name: str) -> str | None:
    """Return the name that a tensor shares with those of other layers; None for one outside of the layers."""
    return re.sub(r"\.\d+\.", ".0.", name) if re.search(r"\.\d+\.", name) else None


def _first(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def summary(error: Exception) -> str:
    """Return the text of an error in one line of at most 300 characters."""
    text = repr(error) if isinstance(error, KeyError | TypeError | AttributeError) else str(error)
    return " ".join(text.split())[:300]


@contextlib.contextmanager
def naming(source: str) -> Iterator[None]:
    """Turn an error for the contents of a file inside the block into a ValueError of one line that names the source."""
    try:
        yield
    except DAMAGE as error:
        raise ValueError(f"{source}: {summary(error)}") from error


@contextlib.contextmanager
def _without_report() -> Iterator[None]:
    """Silence transformers' report on tensors, which an error or a line of this module replaces."""
    LOADER.addFilter(_is_no_report)
    try:
        yield
    finally:
        LOADER.removeFilter(_is_no_report)


def _is_no_report(record: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in record.getMessage()

"""Loading of transformers configurations and weights, with errors for faults that transformers does not report."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers import __version__ as transformers_version

from convmodel.data.json_file import read_json_object
from convmodel.models.folder import named_in_errors, naming, naming_pickles, quiet_progress
from convmodel.models.weight_checks import (
    CONFIG,
    check_finite,
    check_names,
    check_shapes,
    check_sizes,
    check_types,
    check_weight_files,
    first_names,
    saved_types,
)

logger = logging.getLogger(__name__)

LOADER = logging.getLogger("transformers.modeling_utils")


def read_model_config(source: str) -> PretrainedConfig:
    """Return the configuration of any model of transformers, from a folder or Hub name that is checked already.

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
        check_sizes(file, saved)
    with naming(str(file)), named_in_errors(source, OSError):
        return cast(PretrainedConfig, AutoConfig.from_pretrained(source, trust_remote_code=False))


def load_weights(
    auto_class: Any,
    source: str,
    config: PretrainedConfig,
    *,
    dtype: torch.dtype,
    unused: str = "",
    head: str = "",
    title: str | None = None,
    **file_options: Any,
) -> PreTrainedModel:
    """Load a model of transformers, and check that its weights are complete, finite and as configured.

    Args:
        auto_class: the transformers class whose `from_pretrained` loads the model.
        source: a folder or Hub name that is checked already.
        config: the configuration of the model.
        dtype: the type of the loaded weights.
        unused: prefix of the names of tensors that may be missing because they are not used.
        head: the name of the model's head, for the error if only the head is missing.
        title: the name of the model in errors; by default `source`.
        file_options: arguments of `from_pretrained` for reading a file that is not safetensors.

    Raises:
        FileNotFoundError: when a file is missing, or the Hub cannot be reached.
        ValueError: when a file is damaged, or tensors are missing, have other shapes, belong to layers that the
            configuration does not have, or hold NaN or infinity.
    """
    if not file_options:
        check_weight_files(source)
    options = {"config": config, "dtype": dtype, "use_safetensors": True, "trust_remote_code": False} | file_options
    title = title or source
    whole = naming(f"{title}: {'' if file_options else f'what {CONFIG} describes '}cannot be loaded")
    pickles = naming_pickles(title, auto_class.__name__)
    with pickles, quiet_progress(), _without_report(), whole, named_in_errors(title, OSError):
        model, report = auto_class.from_pretrained(
            source, **options, ignore_mismatched_sizes=True, output_loading_info=True
        )
    missing = [name for name in report["missing_keys"] if not (unused and name.startswith(unused))]
    if head and missing and not any(name.startswith(f"{model.base_model_prefix}.") for name in missing):
        raise ValueError(
            f"{title}: holds a {config.model_type} model without {head} (there is no {min(missing)}); "
            "give one that was trained for this, and saved by save_pretrained"
        )
    check_names(title, config, model, missing=missing, unexpected=report["unexpected_keys"])
    check_shapes(title, report["mismatched_keys"])
    if getattr(model, "hf_quantizer", None) is None:
        check_types(title, saved_types(source, model))
    check_finite(title, cast(torch.nn.Module, model).named_parameters())
    return cast(PreTrainedModel, model)


def check_vocabulary(source: str, tokenizer: PreTrainedTokenizerBase, rows: int, *, may_be_new: bool = False) -> None:
    """Raise ValueError when a tokenizer has more tokens than there are trained embeddings.

    Args:
        source: the name of the model in errors.
        tokenizer: the tokenizer.
        rows: the number of trained embeddings.
        may_be_new: whether added tokens, such as a separator, may lack embeddings, because the model will be trained.
            Such tokens are logged.
    """
    added = tokenizer.added_tokens_decoder
    size = max(tokenizer.get_vocab().values()) + 1  # ids may have gaps
    beyond = range(rows, size)
    names = [repr(tokenizer.convert_ids_to_tokens(number)) for number in beyond[:4]]
    if not names:
        return
    are_added = all(number in added for number in beyond)
    if may_be_new and are_added:
        logger.warning("%s: new embeddings are made for the added tokens %s", source, first_names(names))
        return
    training = ", or fine-tune it (--model.pretrained_model_name_or_path)" if are_added else ""
    raise ValueError(
        f"{source}: its tokenizer has {size:,} tokens and its weights have rows for {rows:,}: the embeddings of "
        f"{first_names(names)} would be random numbers. Copy the tokenizer that the model was trained with{training}"
    )


@contextlib.contextmanager
def _without_report() -> Iterator[None]:
    """Silence transformers' report on missing and unexpected tensors, which this module reports itself."""
    LOADER.addFilter(_is_no_report)
    try:
        yield
    finally:
        LOADER.removeFilter(_is_no_report)


def _is_no_report(record: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in record.getMessage()

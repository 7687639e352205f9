"""The decoding options in a model's folder, which are checked before transformers reads them."""

import logging
from collections.abc import Iterator
from typing import Any

from transformers import GenerationConfig

from convmodel.data.json_file import read_json_object
from convmodel.generation.option_checks import check_names, check_values
from convmodel.generation.penalties import OPTIONS
from convmodel.models.folder import local_file

logger = logging.getLogger(__name__)

GENERATION = "generation_config.json"

TOKEN_IDS = ("forced_bos_token_id", "forced_eos_token_id", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens")
"""Decoding options that are token ids, except for those of the end tokens."""

OF_TRANSFORMERS = ("_from_model_config", "transformers_version")
"""Keys that transformers writes in addition to the options."""


def read_own_options(source: str) -> dict[str, Any]:
    """Check all decoding options of a folder or Hub name, and return those that only this package has.

    When transformers reads the file, it ignores the options of this package. It also ignores a file that it cannot
    read, and raises an error for a wrong value only when a text is generated. Unknown options are logged.

    Raises:
        ValueError: when the file cannot be read, or has a value that is not allowed.
    """
    file = local_file(source, GENERATION)
    if file is None:
        return {}
    options = read_json_object(file, remedy="remove it for the defaults, or copy it again")
    for name in options.keys() - {*OF_TRANSFORMERS}:
        try:
            check_names({name: options[name]})
        except ValueError as error:
            logger.warning("%s: %s; it is ignored", file, error)
    try:
        check_values(options)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return {name: options[name] for name in OPTIONS if name in options}


def check_token_ids(source: str, config: GenerationConfig, rows: int) -> None:
    """Check that the model has the tokens in its decoding options.

    An unknown end token is only logged, because many folders with a smaller vocabulary have the end token of GPT-2.

    Args:
        source: the name of the model in errors.
        config: the decoding options.
        rows: the number of the model's embeddings.

    Raises:
        ValueError: for another token id that is not below `rows`.
    """
    for name in ("eos_token_id", *TOKEN_IDS):
        beyond = [number for number in _numbers(getattr(config, name, None)) if number >= rows]
        if not beyond:
            continue
        fault = f"{source}: {GENERATION}: {name} names token {beyond[0]}, but the model has {rows:,} tokens"
        if name in TOKEN_IDS:
            raise ValueError(f"{fault}; correct it there, or leave it out")
        logger.warning("%s: it cannot end a reply; correct it there, or leave it out", fault)


def _numbers(value: Any) -> Iterator[int]:
    """Yield all numbers in a value: a number, a list of numbers, or a list of lists of numbers."""
    for item in value if isinstance(value, list | tuple) else [value]:
        if isinstance(item, list | tuple):
            yield from _numbers(item)
        elif isinstance(item, int):
            yield item

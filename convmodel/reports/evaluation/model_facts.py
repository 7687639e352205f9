"""A model that writes in, what a report says of it and how it decodes out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from tqdm.auto import tqdm

from convmodel.generation.options import PRESETS, DecodingConfig, check_names, check_values
from convmodel.models.devices import dtype_name
from convmodel.models.folder import weights_digest
from convmodel.models.language_model import LanguageModel
from convmodel.tokens.store import store_key

GROUP = 128
"""Texts between two steps of the progress bar; changes none of them."""

Item = TypeVar("Item")


def model_facts(model: LanguageModel[Any], source: str, *also: object) -> dict[str, Any]:
    """What a report says of a model.

    Args:
        model: which was loaded.
        source: from where.
        also: what else its texts depend on.
    """
    return {
        "source": source,
        "fingerprint": model_fingerprint(model, *also),
        "parameters": model.hf_model.num_parameters(),
        "n_positions": model.n_positions,
        "vocab_size": len(model.tokenizer),
        "dtype": dtype_name(model.hf_model.dtype),
    }


def model_fingerprint(model: LanguageModel[Any], *also: object) -> str:
    """A digest of all that a text depends on but decoding: the same model has the same wherever it lies."""
    config = model.hf_model.config
    unseen = (config.n_head, config.n_positions, config.activation_function, config.layer_norm_epsilon)  # in no weight
    return weights_digest((store_key("", model.tokenizer), unseen, *also), model.hf_model.state_dict())


def decoding_of(model: LanguageModel[Any], options: Mapping[str, Any]) -> DecodingConfig:
    """How the model decodes.

    Raises:
        ValueError: for options that it cannot follow.
    """
    try:
        return model.decoding(**options)
    except (ValueError, TypeError) as error:  # transformers has its own word on some values
        raise ValueError(f"decoding options {dict(options)}: {' '.join(str(error).split())}") from error


def in_groups(items: Sequence[Item], *, desc: str) -> Iterator[Sequence[Item]]:
    """Some at a time, with a bar on a terminal."""
    with tqdm(total=len(items), desc=desc, unit="", disable=None, leave=False) as progress:
        for start in range(0, len(items), GROUP):
            group = items[start : start + GROUP]
            yield group
            progress.update(len(group))


CONSTANTS = {"true": True, "false": False, "none": None, "null": None}


def parse_decoding(
    given: Sequence[str], *, preset: str | None = None, presets: Mapping[str, Mapping[str, Any]] = PRESETS
) -> dict[str, Any]:
    """Options from the words of a command line: `top_p=0.9`, `do_sample=false`, `stop_strings=["."]`.

    Args:
        given: options that win over those of the preset.
        preset: the name of one.
        presets: those of the kind of model.

    Raises:
        ValueError: for a word that is no NAME=VALUE, and for names and values that mean nothing.
    """
    if preset is not None and preset not in presets:
        raise ValueError(f"there is no preset {preset!r}; allowed are {', '.join(presets)}")
    found = dict(presets[preset]) if preset is not None else {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"--option {word}: write NAME=VALUE, such as top_p=0.9")
        found[name] = _parsed(value)
    check_names(found)
    check_values(found)
    return found


def _parsed(value: str) -> Any:
    if value.lower() in CONSTANTS:
        return CONSTANTS[value.lower()]
    try:
        return json.loads(value)
    except ValueError:
        return value

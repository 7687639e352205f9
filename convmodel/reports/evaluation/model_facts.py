"""Facts about a generative model for its report, and parsing of its decoding options."""

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
"""Texts per step of the progress bar; it has no effect on the texts."""

Item = TypeVar("Item")


def model_facts(model: LanguageModel[Any], source: str, *also: object) -> dict[str, Any]:
    """Return the facts about a model that its report contains.

    Args:
        model: the loaded model.
        source: the folder or Hub name that it was loaded from.
        also: further values that its texts depend on.
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
    """Return a digest of everything that a text depends on except decoding; it does not depend on the model's path."""
    config = model.hf_model.config
    # Settings that the shapes of the weights do not show.
    unseen = (config.n_head, config.n_positions, config.activation_function, config.layer_norm_epsilon)
    return weights_digest((store_key("", model.tokenizer), unseen, *also), model.hf_model.state_dict())


def decoding_of(model: LanguageModel[Any], options: Mapping[str, Any]) -> DecodingConfig:
    """Return the complete decoding configuration of a model.

    Raises:
        ValueError: for invalid options.
    """
    try:
        return model.decoding(**options)
    except (ValueError, TypeError) as error:  # transformers raises either for some values
        raise ValueError(f"decoding options {dict(options)}: {' '.join(str(error).split())}") from error


def in_groups(items: Sequence[Item], *, desc: str) -> Iterator[Sequence[Item]]:
    """Yield the items in groups, with a progress bar on a terminal."""
    with tqdm(total=len(items), desc=desc, unit="", disable=None, leave=False) as progress:
        for start in range(0, len(items), GROUP):
            group = items[start : start + GROUP]
            yield group
            progress.update(len(group))


CONSTANTS = {"true": True, "false": False, "none": None, "null": None}


def parse_decoding(
    given: Sequence[str], *, preset: str | None = None, presets: Mapping[str, Mapping[str, Any]] = PRESETS
) -> dict[str, Any]:
    """Parse decoding options of a command line: `top_p=0.9`, `do_sample=false`, `stop_strings=["."]`.

    Args:
        given: options that override those of the preset.
        preset: name of a preset.
        presets: the presets of the kind of model.

    Raises:
        ValueError: for a word that is not NAME=VALUE, and for unknown names and invalid values.
    """
    if preset is not None and preset not in presets:
        raise ValueError(f"there is no preset {preset!r}; allowed are {', '.join(presets)}")
    options = dict(presets[preset]) if preset is not None else {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"--option {word}: write NAME=VALUE, such as top_p=0.9")
        options[name] = _parse_value(value)
    check_names(options)
    check_values(options)
    return options


def _parse_value(value: str) -> Any:
    if value.lower() in CONSTANTS:
        return CONSTANTS[value.lower()]
    try:
        return json.loads(value)
    except ValueError:
        return value

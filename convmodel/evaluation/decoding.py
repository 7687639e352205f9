"""NAME=VALUE in, options of transformers' `generate` out."""

import copy
import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import GenerationConfig

OF_THE_MODEL = {"bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "num_return_sequences"}
"""Fields of a GenerationConfig that are no choice of how to decode: one reply to each context is measured."""

CONSTANTS = {"true": True, "false": False, "none": None, "null": None}


def parse_decoding(given: Sequence[str]) -> dict[str, Any]:
    """Options from the words of a command line: `top_p=0.9`, `do_sample=false`, `stop_strings=["."]`.

    Raises:
        ValueError: for a word that is no NAME=VALUE, and for a name that is no decoding option.
    """
    found = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"--option {word}: write NAME=VALUE, such as top_p=0.9")
        found[name] = _parsed(value)
    check_names(found)
    return found


def check_names(decoding: Mapping[str, Any]) -> None:
    """Raises ValueError for a name that is no decoding option of transformers; a near one is told."""
    known = [name for name in GenerationConfig().to_dict() if not name.startswith("_") and name not in OF_THE_MODEL]
    for name in decoding:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"allowed are {', '.join(sorted(known))}"
            raise ValueError(f"{name!r} is no decoding option; {hint}")


def whole_decoding(own: GenerationConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """What replies are written with: the model's own options under the given ones, without those that are not set.

    Raises:
        ValueError: when transformers refuses a value.
    """
    config = copy.deepcopy(own)
    try:
        config.update(**given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"decoding options {dict(given)}: {' '.join(str(error).split())}") from error
    return {
        name: value
        for name, value in sorted(config.to_dict().items())
        if value is not None and not name.startswith("_") and name not in OF_THE_MODEL
    }


def _parsed(value: str) -> Any:
    if value.lower() in CONSTANTS:
        return CONSTANTS[value.lower()]
    try:
        return json.loads(value)
    except ValueError:
        return value

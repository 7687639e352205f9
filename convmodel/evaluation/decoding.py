"""The name of a preset and NAME=VALUE in, options of how to reply out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from convmodel.generation.options import PRESETS, check_names, check_values

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

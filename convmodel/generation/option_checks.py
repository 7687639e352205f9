"""Checks of the names and values of decoding options."""

import math
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from transformers import GenerationConfig

from convmodel.errors import suggest
from convmodel.generation.penalties import FREQUENCY, NO_REPEAT, OPTIONS, PRESENCE, SELF_REPETITION

BAD_WORDS = "bad_words"
"""Option with texts that are not generated; it is converted to transformers' `bad_words_ids`."""


def _number(low: float, high: float = math.inf, *, above: bool = False) -> Callable[[Any], bool]:
    """Return a check for numbers from `low`, or above it, to `high`."""

    def check(value: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return is_number and low <= value <= high and not (above and value == low)

    return check


def _integer(low: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= low


def _list_of(check: Callable[[Any], bool], *, empty: bool = True) -> Callable[[Any], bool]:
    return lambda values: isinstance(values, list | tuple) and all(map(check, values)) and (empty or bool(values))


def _is_texts(value: Any) -> bool:
    texts = [value] if isinstance(value, str) else value
    return isinstance(texts, list | tuple) and all(isinstance(text, str) and text for text in texts)


_is_ids = _list_of(_integer(0))

ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    name: (check, allowed)
    for names, check, allowed in (
        (("do_sample",), lambda value: isinstance(value, bool), "true and false"),
        (("temperature",), _number(0, above=True), "numbers above 0; for the likeliest reply use do_sample=False"),
        (("repetition_penalty",), _number(0, above=True), "numbers above 0 (1 is off)"),
        (("top_p", "typical_p"), _number(0, 1, above=True), "numbers above 0 and at most 1 (off)"),
        (("min_p",), _number(0, 1), "numbers from 0 (off) to 1"),
        ((SELF_REPETITION,), _number(0), "numbers from 0 (off)"),
        ((FREQUENCY, PRESENCE), _number(-2, 2), "numbers from -2 to 2"),
        (("top_k", "no_repeat_ngram_size", NO_REPEAT), _integer(0), "whole numbers from 0 (off)"),
        (("min_new_tokens", "min_length"), _integer(0), "whole numbers from 0"),
        (("max_new_tokens", "max_length", "num_return_sequences", "num_beams"), _integer(1), "whole numbers from 1"),
        (("eos_token_id",), lambda v: _is_ids([v]) or _is_ids(v), "whole numbers from 0 and lists of them"),
        (
            ("bad_words_ids",),
            _list_of(_list_of(_integer(0), empty=False)),
            "lists of lists of whole numbers from 0, none empty",
        ),
        (("stop_strings", BAD_WORDS), _is_texts, "a text and a list of texts, none empty"),
        (("early_stopping",), lambda value: isinstance(value, bool) or value == "never", "true, false and 'never'"),
        (("length_penalty",), _number(-math.inf), "numbers"),
        (("guidance_scale", "encoder_repetition_penalty"), _number(0, above=True), "numbers above 0 (1 is off)"),
        (("epsilon_cutoff", "eta_cutoff"), _number(0, 1), "numbers from 0 (off) to 1"),
        (("suppress_tokens", "begin_suppress_tokens"), _is_ids, "lists of whole numbers from 0"),
    )
    for name in names
}
"""A check of each option's value, and a description of the allowed values. null always means "not given"."""


REMOVED = {
    "penalty_alpha": "contrastive search",
    "dola_layers": "DoLa decoding",
    "num_beam_groups": "group beam search",
    "diversity_penalty": "group beam search",
    "constraints": "constrained beam search",
    "force_words_ids": "constrained beam search",
}
"""Options of decoding methods that transformers no longer has, and the names of the methods."""


def check_values(options: Mapping[str, Any]) -> None:
    """Raise ValueError for an invalid value or a removed method; it names the option and the allowed values."""
    for name, value in options.items():
        is_off = value in (None, 0, []) or (name, value) == ("num_beam_groups", 1)
        if name in REMOVED and not is_off:
            raise ValueError(
                f"{name}={value!r} asks for {REMOVED[name]}, which transformers no longer has; leave it out"
            )
        is_valid, allowed = ALLOWED.get(name, (None, ""))
        if is_valid is not None and value is not None and not is_valid(value):
            raise ValueError(f"{name}={value!r}; allowed are {allowed}")


def check_names(options: Mapping[str, Any]) -> None:
    """Raise ValueError for an unknown option; the message names the most similar known option."""
    known = _known_names()
    for name in options:
        if name not in known:
            hint = suggest(name, known, "the options are those of transformers' generate")
            raise ValueError(f"there is no option {name!r}; {hint}")


@cache
def transformers_defaults() -> Mapping[str, Any]:
    """Return transformers' own value of each option; cached, because each request needs them."""
    return MappingProxyType(GenerationConfig().to_dict())


@cache
def _known_names() -> frozenset[str]:
    return frozenset({*transformers_defaults(), *OPTIONS, BAD_WORDS, "max_length"})

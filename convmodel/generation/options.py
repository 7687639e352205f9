"""Decoding options in, one whole configuration out, in which nothing that matters is left to chance."""

import copy
import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from transformers import GenerationConfig

from convmodel.generation import penalties as repetition
from convmodel.generation.sampler import engine_supports

DECODING_DEFAULTS: dict[str, Any] = {
    "do_sample": True,
    "temperature": 0.7,
    "top_k": 50,
    "top_p": 0.9,
    "min_new_tokens": 1,
}
"""Used where neither the folder's generation_config nor the caller says how to decode."""

NEUTRAL = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "typical_p": 1.0}
"""What transformers takes for "not given" where nothing is sampled."""

MAX_NEW_TOKENS = 128
"""Tokens of a reply at most, where nobody says; never more than half of the model's window."""


@dataclass(frozen=True, slots=True)
class WindowBudget:
    """How what is read and what is written share a model's window.

    Args:
        window: tokens of both.
        least: tokens that are read at least.
        usual: tokens that are written at most, where nobody says.
        most: tokens that may be asked for.
    """

    window: int
    least: int
    usual: int
    most: int


def room_for_replies(n_positions: int) -> WindowBudget:
    """The room of a reply: a separator, a token of a turn and a separator are always read."""
    return WindowBudget(n_positions, 3, min(MAX_NEW_TOKENS, n_positions // 2), n_positions - 3)


PRESETS: dict[str, dict[str, Any]] = {
    "balanced": {
        "do_sample": True,
        "temperature": 0.7,
        "top_k": 50,
        "top_p": 0.9,
        repetition.NO_REPEAT: 4,
        repetition.SAID_AGAIN: 0.3,
    },
    "careful": {
        "do_sample": True,
        "temperature": 0.5,
        "top_k": 20,
        "top_p": 0.8,
        repetition.NO_REPEAT: 4,
        repetition.SAID_AGAIN: 0.3,
        "num_return_sequences": 4,
    },
    "lively": {
        "do_sample": True,
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 0.95,
        "min_p": 0.02,
        repetition.NO_REPEAT: 3,
        repetition.SAID_AGAIN: 0.6,
    },
}
"""Sets of ordinary options: `model.generate(context, **PRESETS["lively"])`. How they came about: docs/generation.md."""

OURS = repetition.OPTIONS
"""Options that transformers does not have, kept in its GenerationConfig."""

BAD_WORDS = "bad_words"
"""An option of ours that becomes transformers' `bad_words_ids`: texts that are not written."""

FROM_THE_CONTEXT = ("input_ids", "inputs", "inputs_embeds", "attention_mask", "token_type_ids", "position_ids")
"""What transformers' `generate` takes and is made from the context here."""


@dataclass(frozen=True, slots=True)
class DecodingConfig:
    """How a reply is written.

    Args:
        config: whole: every field that matters is set, `eos_token_id` is a list.
        others: what is no field of a configuration, for transformers' `generate`: processors, streamers, ...
        context_limit: tokens that a context may take at most.
        stop_strings: a reply ends before the first of them.
    """

    config: GenerationConfig
    others: dict[str, Any]
    context_limit: int
    stop_strings: tuple[str, ...] = ()

    @property
    def replies(self) -> int:
        """How many are written."""
        return self.config.num_return_sequences or 1

    @property
    def through_engine(self) -> bool:
        """Whether the engine does all of it; beams and what else it does not go through transformers' `generate`.

        Raises:
            ValueError: when an option of ours is asked for beside one of transformers' that the engine does not do.
        """
        several = self.config.do_sample or self.replies == 1
        if not self.others and several and engine_supports(self.config):
            return True
        ours = [name for name in OURS if getattr(self.config, name, None)]
        if ours:
            raise ValueError(
                f"{ours[0]} goes with greedy decoding and sampling only; leave it out, or num_beams and what else "
                "is done by transformers' generate"
            )
        return False


def complete_config(config: GenerationConfig, sep_token_id: int, room: WindowBudget) -> GenerationConfig:
    """Fills in how, how long, and where to end."""
    whole = copy.deepcopy(config)
    decided = ("do_sample", "num_beams", "temperature", "top_k", "top_p", "penalty_alpha", "repetition_penalty")
    if all(getattr(whole, name, None) is None for name in decided):
        for name, value in DECODING_DEFAULTS.items():
            setattr(whole, name, value)
    for name in OURS:
        setattr(whole, name, getattr(whole, name, None))
    whole.eos_token_id = sorted({*_ids(whole.eos_token_id), sep_token_id})
    whole.bos_token_id = whole.pad_token_id = sep_token_id
    if whole.max_new_tokens is None:
        whole.max_new_tokens = room.usual
    whole.max_length = None
    return whole


def decoding(
    default: GenerationConfig, options: Mapping[str, Any], *, sep_token_id: int, room: WindowBudget
) -> DecodingConfig:
    """The decoding of one call.

    Args:
        default: whole; what is not given comes from it.
        options: every option of transformers' `generate`, and `OURS`.
        sep_token_id: ends a reply, whatever else does.
        room: for what is read and what is written.

    Raises:
        TypeError: for what is made from the context.
        ValueError: for a value that means nothing, or more tokens than there is room for.
    """
    for name in FROM_THE_CONTEXT:
        if name in options:
            raise TypeError(f"{name!r} is made from the context; leave it out")
    options = {name: value for name, value in options.items() if value is not None}
    check_values(options)
    given = options.pop("generation_config", None)
    new_tokens_given = "max_new_tokens" in options
    config = copy.deepcopy(default) if given is None else complete_config(given, sep_token_id, room)
    if options.get("do_sample") is False:
        config.update(**{name: value for name, value in NEUTRAL.items() if name not in options})
    others = config.update(**options)
    config.eos_token_id = sorted({*_ids(config.eos_token_id), sep_token_id})
    stops = config.stop_strings or ()
    stops = (stops,) if isinstance(stops, str) else tuple(stops)
    config.stop_strings = None
    if config.max_length is not None and not new_tokens_given:
        config.max_length = total = min(config.max_length, room.window)
        config.max_new_tokens = None
        return DecodingConfig(config, others, max(room.least, total - min(room.usual, total // 2)), stops)
    config.max_length = None
    if not 1 <= config.max_new_tokens <= room.most:
        raise ValueError(
            f"max_new_tokens={config.max_new_tokens}, but what is read and what is written share a window of "
            f"{room.window} tokens; allowed are 1 to {room.most}"
        )
    return DecodingConfig(config, others, room.window - config.max_new_tokens, stops)


def options_of(how: DecodingConfig) -> dict[str, Any]:
    """The options that a decoding comes to, as one would give them; those too that turn a default off."""
    hidden = {"_from_model_config", "transformers_version", "eos_token_id", "bos_token_id", "pad_token_id", "use_cache"}
    config = how.config.to_dict()
    shown = {name: value for name, value in sorted(config.items()) if value is not None and name not in hidden}
    return shown | ({"stop_strings": list(how.stop_strings)} if how.stop_strings else {})


def _ids(ends: int | list[int] | None) -> list[int]:
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


# Values


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_ids(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(_whole(i) and i >= 0 for i in value)


def _is_texts(value: Any) -> bool:
    texts = [value] if isinstance(value, str) else value
    return isinstance(texts, list | tuple) and all(isinstance(text, str) and text for text in texts)


ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("do_sample",), (lambda value: isinstance(value, bool), "true and false")),
    "temperature": (lambda v: _number(v) and v > 0, "numbers above 0; for the likeliest reply use do_sample=False"),
    "repetition_penalty": (lambda v: _number(v) and v > 0, "numbers above 0 (1 is off)"),
    **dict.fromkeys(
        ("top_p", "typical_p"), (lambda v: _number(v) and 0 < v <= 1, "numbers above 0 and at most 1 (off)")
    ),
    "min_p": (lambda v: _number(v) and 0 <= v <= 1, "numbers from 0 (off) to 1"),
    repetition.SAID_AGAIN: (lambda v: _number(v) and v >= 0, "numbers from 0 (off)"),
    **dict.fromkeys(
        (repetition.FREQUENCY, repetition.PRESENCE), (lambda v: _number(v) and -2 <= v <= 2, "numbers from -2 to 2")
    ),
    **dict.fromkeys(
        ("top_k", "no_repeat_ngram_size", repetition.NO_REPEAT),
        (lambda v: _whole(v) and v >= 0, "whole numbers from 0 (off)"),
    ),
    **dict.fromkeys(("min_new_tokens", "min_length"), (lambda v: _whole(v) and v >= 0, "whole numbers from 0")),
    **dict.fromkeys(
        ("max_new_tokens", "max_length", "num_return_sequences", "num_beams"),
        (lambda v: _whole(v) and v >= 1, "whole numbers from 1"),
    ),
    "eos_token_id": (lambda v: _is_ids([v]) or _is_ids(v), "whole numbers from 0 and lists of them"),
    "bad_words_ids": (
        lambda v: isinstance(v, list | tuple) and all(_is_ids(word) and word for word in v),
        "lists of lists of whole numbers from 0, none empty",
    ),
    **dict.fromkeys(("stop_strings", BAD_WORDS), (_is_texts, "a text and a list of texts, none empty")),
}
"""For each option whether a value means something, and what does. null is always allowed: as though not given."""


def check_values(options: Mapping[str, Any]) -> None:
    """Raises ValueError for a value that means nothing; it names the option, the value, and what is allowed."""
    for name, value in options.items():
        fits, allowed = ALLOWED.get(name, (None, ""))
        if fits is not None and value is not None and not fits(value):
            raise ValueError(f"{name}={value!r}; allowed are {allowed}")


def check_names(options: Mapping[str, Any]) -> None:
    """Raises ValueError for an option that no reply is written by; it names the nearest that there is."""
    known = set(GenerationConfig().to_dict()) | {*OURS, BAD_WORDS, "max_length"}
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else "; the options are those of transformers' generate"
            raise ValueError(f"there is no option {name!r}{hint}")

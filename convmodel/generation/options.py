"""Merge decoding options into one complete, validated GenerationConfig."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import GenerationConfig

from convmodel.generation.option_checks import check_values, transformers_defaults
from convmodel.generation.penalties import NO_REPEAT, OPTIONS, SELF_REPETITION
from convmodel.generation.sampler import WARPS

DECODING_DEFAULTS: dict[str, Any] = {
    "do_sample": True,
    "temperature": 0.7,
    "top_k": 50,
    "top_p": 0.9,
    "min_new_tokens": 1,
}
"""Defaults, if neither the folder's generation_config nor the caller specifies how to decode."""

NEUTRAL = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "typical_p": 1.0}
"""Values that transformers treats as "not given" in greedy decoding."""

MAX_NEW_TOKENS = 128
"""Default maximum number of tokens of a reply; never more than half of the model's window."""


@dataclass(frozen=True, slots=True)
class WindowBudget:
    """Division of a model's window between the context and the generated tokens, as numbers of tokens.

    With `shared`, context and generated tokens share one window. Otherwise each has a separate window, in the
    encoder and in the decoder.
    """

    window: int
    min_context: int
    default_new_tokens: int
    max_new_tokens: int
    shared: bool = True

    def context_limit(self, new_tokens: int) -> int:
        """Return the maximum number of context tokens if `new_tokens` tokens are to be generated."""
        return self.window - new_tokens if self.shared else self.window


def reply_budget(n_positions: int, min_context: int = 3, *, shared: bool = True) -> WindowBudget:
    """Return the budget of a reply; `min_context` is the smallest context: one token of a turn and the layout's.

    Raises:
        ValueError: when the window has no room for such a context and a token of a reply.
    """
    most = n_positions - (min_context if shared else 1)  # a decoder begins with a token of its own
    if most < 1 or n_positions < min_context:
        least = min_context + shared
        raise ValueError(
            f"a window of {n_positions} tokens has no room for a turn and a reply in this layout, which needs at least "
            f"{least}; use a model with a larger window"
        )
    return WindowBudget(n_positions, min_context, min(MAX_NEW_TOKENS, n_positions // 2), most, shared)


PRESETS: dict[str, dict[str, Any]] = {
    "balanced": {"do_sample": True, "temperature": 0.7, "top_k": 50, "top_p": 0.9, NO_REPEAT: 4, SELF_REPETITION: 0.3},
    "careful": {"do_sample": True, "temperature": 0.5, "top_k": 20, "top_p": 0.8, NO_REPEAT: 4, SELF_REPETITION: 0.3}
    | {"num_return_sequences": 4},
    "lively": {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 0.95, "min_p": 0.02}
    | {NO_REPEAT: 3, SELF_REPETITION: 0.6},
}
"""Sets of ordinary options, as in `model.generate(context, **PRESETS["lively"])`; docs/generation.md explains them."""

CONTEXT_INPUTS = ("input_ids", "inputs", "inputs_embeds", "attention_mask", "token_type_ids", "position_ids")
"""Arguments of transformers' `generate` that are computed from the context and cannot be given."""

SUPPORTED_OPTIONS = frozenset(
    {
        *("do_sample", *WARPS),
        *("repetition_penalty", "no_repeat_ngram_size", "bad_words_ids"),
        *("max_new_tokens", "min_new_tokens", "eos_token_id", "bos_token_id", "pad_token_id"),
        *("num_return_sequences", "use_cache", "transformers_version"),
        *OPTIONS,
    }
)
"""Options of a GenerationConfig that the engine supports; any other needs transformers' `generate`."""

NEUTRAL_AT_ONE = ("num_beams", "num_beam_groups", "length_penalty", "encoder_repetition_penalty", "guidance_scale")
"""Options that have no effect at 1."""


def engine_supports(config: GenerationConfig) -> bool:
    """Return whether the engine supports all options of a configuration, except those without effect (None or 0)."""
    defaults = transformers_defaults()
    return all(
        name in SUPPORTED_OPTIONS
        or name == "_from_model_config"
        or value in (None, False, defaults.get(name))
        or (value == 1 and name in NEUTRAL_AT_ONE)
        for name, value in config.to_dict().items()
    )


@dataclass(frozen=True, slots=True)
class DecodingConfig:
    """Complete decoding configuration of a reply.

    Args:
        config: complete configuration, in which `eos_token_id` is a list.
        extra_options: further arguments of transformers' `generate`, such as processors and streamers.
        context_limit: maximum number of tokens of the context.
        stop_strings: a reply ends before the first of them.
    """

    config: GenerationConfig
    extra_options: dict[str, Any]
    context_limit: int
    stop_strings: tuple[str, ...] = ()

    @property
    def num_replies(self) -> int:
        """Number of replies to generate."""
        return self.config.num_return_sequences or 1

    @property
    def uses_engine(self) -> bool:
        """Whether the engine supports the configuration; otherwise transformers' `generate` is used, as for beams.

        Raises:
            ValueError: when an option of `penalties.OPTIONS` is combined with one that the engine does not support.
        """
        is_independent = self.config.do_sample or self.num_replies == 1
        if not self.extra_options and is_independent and engine_supports(self.config):
            return True
        self.check_without_engine("num_beams and what else is done by transformers' generate")
        return False

    def check_without_engine(self, reason: str) -> None:
        """Raise ValueError for an option that only the engine supports.

        `reason` is named in the message as the other cause that can be removed.
        """
        engine_only = [name for name in OPTIONS if getattr(self.config, name, None)]
        if engine_only:
            raise ValueError(f"{engine_only[0]} needs greedy decoding or sampling; leave it out, or {reason}")


def without_engine_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options without those that only the engine supports."""
    return {name: value for name, value in options.items() if name not in OPTIONS}


def complete_config(config: GenerationConfig, end_token_ids: Sequence[int], budget: WindowBudget) -> GenerationConfig:
    """Return a copy with defaults for the decoding method, the length and the end tokens."""
    complete = copy.deepcopy(config)
    methods = ("do_sample", "num_beams", "temperature", "top_k", "top_p", "penalty_alpha", "repetition_penalty")
    if all(getattr(complete, name, None) is None for name in methods):
        complete.update(**DECODING_DEFAULTS)
    for name in OPTIONS:
        setattr(complete, name, getattr(complete, name, None))
    complete.eos_token_id = sorted({*_ids(complete.eos_token_id), *end_token_ids})
    complete.pad_token_id = (*end_token_ids, *complete.eos_token_id, 0)[0]
    if budget.shared:  # a decoder of its own may begin with this token
        complete.bos_token_id = complete.pad_token_id
    if complete.max_new_tokens is None:
        complete.max_new_tokens = budget.default_new_tokens
    complete.max_length = None
    return complete


def build_decoding_config(
    default: GenerationConfig, options: Mapping[str, Any], *, end_token_ids: Sequence[int], budget: WindowBudget
) -> DecodingConfig:
    """Merge the options of one call (of transformers' `generate` and `penalties.OPTIONS`) with a complete default.

    The layout's end tokens always end a reply, in addition to the `eos_token_id` of the options.

    Raises:
        TypeError: for an argument that is computed from the context.
        ValueError: for an invalid value, or more tokens than the window has room for.
    """
    for name in CONTEXT_INPUTS:
        if name in options:
            raise TypeError(f"{name!r} is made from the context; leave it out")
    options = {name: value for name, value in options.items() if value is not None}
    check_values(options)
    given = options.pop("generation_config", None)
    new_tokens_given = "max_new_tokens" in options
    config = copy.deepcopy(default) if given is None else complete_config(given, end_token_ids, budget)
    if options.get("do_sample") is False:
        config.update(**{name: value for name, value in NEUTRAL.items() if name not in options})
    others = config.update(**options)
    config.eos_token_id = sorted({*_ids(config.eos_token_id), *end_token_ids})
    stops = config.stop_strings or ()
    stops = (stops,) if isinstance(stops, str) else tuple(stops)
    config.stop_strings = None
    if config.max_length is not None and not new_tokens_given and not budget.shared:
        config.max_new_tokens = max(1, min(config.max_length, budget.window) - 1)  # beside the decoder's first token
    elif config.max_length is not None and not new_tokens_given:
        config.max_length = total = min(config.max_length, budget.window)
        config.max_new_tokens = None
        limit = max(budget.min_context, total - min(budget.default_new_tokens, total // 2))
        return DecodingConfig(config, others, limit, stops)
    config.max_length = None
    if not 1 <= config.max_new_tokens <= budget.max_new_tokens:
        room = "what is read and what is written share" if budget.shared else "the decoder has"
        raise ValueError(
            f"max_new_tokens={config.max_new_tokens}, but {room} a window of {budget.window} tokens; allowed are 1 to "
            f"{budget.max_new_tokens}"
        )
    return DecodingConfig(config, others, budget.context_limit(config.max_new_tokens), stops)


INTERNAL = {
    *("_from_model_config", "transformers_version", "use_cache"),
    *("eos_token_id", "bos_token_id", "pad_token_id"),
}
"""Fields of a GenerationConfig that are not options of a request."""


def effective_options(how: DecodingConfig) -> dict[str, Any]:
    """Return the options that reproduce a configuration, including those that disable a default."""
    config = how.config.to_dict()
    shown = {name: value for name, value in sorted(config.items()) if value is not None and name not in INTERNAL}
    return shown | ({"stop_strings": list(how.stop_strings)} if how.stop_strings else {})


def _ids(ends: int | list[int] | None) -> list[int]:
    return [ends] if isinstance(ends, int) else list(ends or ())

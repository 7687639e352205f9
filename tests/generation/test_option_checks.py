"""Decoding options by name and value: what is allowed, and what an error says."""

from typing import Any

import pytest
from transformers import GenerationConfig

from convmodel.generation.option_checks import ALLOWED, check_names, check_values
from convmodel.generation.options import (
    DECODING_DEFAULTS,
    NEUTRAL,
    SUPPORTED_OPTIONS,
    DecodingConfig,
    build_decoding_config,
    complete_config,
    reply_budget,
)
from convmodel.generation.penalties import OPTIONS

SEP, POSITIONS = 2, 64


def decided(options: dict[str, Any]) -> DecodingConfig:
    default = complete_config(GenerationConfig(), [SEP], reply_budget(POSITIONS))
    return build_decoding_config(default, options, end_token_ids=[SEP], budget=reply_budget(POSITIONS))


# Values

NOT_NUMBERS: list[Any] = ["0.5", [1], {}, True, False, float("nan"), float("inf"), -float("inf"), 1j]
NOT_WHOLE: list[Any] = ["1", [1], {}, True, False, 1.5, 2.0, float("nan")]
WRONG: dict[str, list[Any]] = {
    "do_sample": [0, 1, "true", "no", 0.5, []],
    "temperature": [*NOT_NUMBERS, 0, 0.0, -1, -0.1],
    "repetition_penalty": [*NOT_NUMBERS, 0, -1.2],
    "top_p": [*NOT_NUMBERS, 0, -0.5, 1.01, 2],
    "typical_p": [*NOT_NUMBERS, 0, -0.5, 1.01, 2],
    "min_p": [*NOT_NUMBERS, -0.1, 1.01],
    "self_repetition_penalty": [*NOT_NUMBERS, -0.1],
    **{key: [*NOT_NUMBERS, -2.01, 3] for key in ("frequency_penalty", "presence_penalty")},
    "top_k": [*NOT_WHOLE, -1],
    "no_repeat_ngram_size": [*NOT_WHOLE, -1],
    "no_repeat_context_ngram_size": [*NOT_WHOLE, -1],
    "min_new_tokens": [*NOT_WHOLE, -1],
    "min_length": [*NOT_WHOLE, -1],
    "max_new_tokens": [*NOT_WHOLE, 0, -1],
    "max_length": [*NOT_WHOLE, 0, -1],
    "num_return_sequences": [*NOT_WHOLE, 0, -1],
    "num_beams": [*NOT_WHOLE, 0, -1],
    **{key: ["", ["a", ""], [1], 5, {"a": 1}, True, [["a"]]] for key in ("stop_strings", "bad_words")},
    "eos_token_id": ["a", -1, [3, -1], ["3"], 1.5, True, {}],
    "bad_words_ids": ["abc", [1, 2], [[]], [[1], []], [["a"]], [[-1]], [[1.5]], 3],
    "early_stopping": ["maybe", 2, 0.5, []],
    "length_penalty": NOT_NUMBERS,
    **{key: [*NOT_NUMBERS, 0, -1] for key in ("guidance_scale", "encoder_repetition_penalty")},
    **{key: [*NOT_NUMBERS, -0.1, 1.5] for key in ("epsilon_cutoff", "eta_cutoff")},
    **{key: [5, "5", ["5"], [-1], [True]] for key in ("suppress_tokens", "begin_suppress_tokens")},
}
RIGHT: dict[str, list[Any]] = {
    "do_sample": [True, False],
    "temperature": [1e-9, 0.7, 1, 2, 1e6],
    "repetition_penalty": [0.5, 1, 1.3, 2],
    "top_p": [1e-9, 0.9, 1, 1.0],
    "typical_p": [0.2, 1],
    "min_p": [0, 0.0, 0.1, 1],
    "self_repetition_penalty": [0, 0.3, 100],
    **{key: [-2, -0.5, 0, 0.0, 1, 2.0] for key in ("frequency_penalty", "presence_penalty")},
    "top_k": [0, 1, 50, 10**6],
    "no_repeat_ngram_size": [0, 1, 3],
    "no_repeat_context_ngram_size": [0, 1, 3],
    "min_new_tokens": [0, 1, 5],
    "min_length": [0, 5],
    "max_new_tokens": [1, 20, POSITIONS - 3],
    "max_length": [1, 20, 10**6],
    "num_return_sequences": [1, 3],
    "num_beams": [1, 2],
    **{key: ["a", ["a", "bc"], ("a",), []] for key in ("stop_strings", "bad_words")},
    "eos_token_id": [5, [5, 6], (7,), []],
    "bad_words_ids": [[[1], [2, 3]], ([1],), []],
    "early_stopping": [True, False, "never"],
    "length_penalty": [-1, 0.5, 2],
    **{key: [0.5, 1, 3] for key in ("guidance_scale", "encoder_repetition_penalty")},
    **{key: [0, 0.0003, 0.9] for key in ("epsilon_cutoff", "eta_cutoff")},
    **{key: [[], [5], (5, 6)] for key in ("suppress_tokens", "begin_suppress_tokens")},
}


def test_every_checked_option_is_tested_here() -> None:
    assert set(WRONG) == set(RIGHT) == set(ALLOWED)


@pytest.mark.parametrize("name", WRONG)
def test_an_invalid_value_is_refused_with_its_name_and_the_allowed_values(name: str) -> None:
    for value in WRONG[name]:
        with pytest.raises(ValueError) as message:
            decided({name: value})
        assert str(message.value) == f"{name}={value!r}; allowed are {ALLOWED[name][1]}"


@pytest.mark.parametrize("name", RIGHT)
def test_a_valid_value_is_kept_and_null_means_not_given(name: str) -> None:
    for value in RIGHT[name]:
        check_values({name: value})
        how = decided({name: value})
        if name not in ("stop_strings", "bad_words", "eos_token_id", "max_length"):
            assert getattr(how.config, name) == value
    assert decided({name: None}).config.to_dict() == decided({}).config.to_dict()


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({"penalty_alpha": 0.6, "top_k": 4}, "penalty_alpha=0.6 asks for contrastive search"),
        ({"penalty_alpha": 1}, "penalty_alpha=1 asks for contrastive search"),
        ({"dola_layers": "high"}, "dola_layers='high' asks for DoLa decoding"),
        ({"num_beams": 4, "num_beam_groups": 2}, "num_beam_groups=2 asks for group beam search"),
        ({"diversity_penalty": 0.5}, r"diversity_penalty=0\.5 asks for group beam search"),
        ({"constraints": ["a"]}, "asks for constrained beam search"),
        (
            {"force_words_ids": [[1]]},
            "constrained beam search, which transformers no longer has; leave it out",
        ),
    ],
)
def test_a_removed_decoding_method_is_refused(options: dict[str, Any], method: str) -> None:
    with pytest.raises(ValueError, match=method):
        check_values(options)
    with pytest.raises(ValueError, match=method):
        decided(options)


def test_values_that_turn_a_removed_method_off_are_kept() -> None:
    check_values({"penalty_alpha": 0.0, "num_beam_groups": 1, "diversity_penalty": 0, "constraints": None})


# Names


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("temprature", "; did you mean temperature?"),
        ("topp", "; did you mean top_p?"),
        ("max_tokens", "; did you mean max_new_tokens?"),
        ("no_repeat_context_ngram", "; did you mean no_repeat_context_ngram_size?"),
        ("self_repetition", "; did you mean self_repetition_penalty?"),
        ("zzz", "; the options are those of transformers' generate"),
        ("", "; the options are those of transformers' generate"),
    ],
)
def test_an_unknown_name_is_refused_with_the_most_similar_known_one(name: str, hint: str) -> None:
    with pytest.raises(ValueError) as message:
        check_names({"top_p": 0.5, name: 1})
    assert str(message.value) == f"there is no option {name!r}{hint}"


def test_every_checked_or_supported_option_has_a_known_name() -> None:
    check_names(dict.fromkeys([*ALLOWED, *SUPPORTED_OPTIONS, *OPTIONS, *DECODING_DEFAULTS, *NEUTRAL]))

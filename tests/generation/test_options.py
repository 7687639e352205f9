"""Options in, configurations out: what is refused, what goes through the engine, and what stays after a round trip."""

import json
from typing import Any

import pytest
from transformers import GenerationConfig

from convmodel.generation.option_checks import check_names, check_values
from convmodel.generation.options import (
    NEUTRAL,
    PRESETS,
    SUPPORTED_OPTIONS,
    DecodingConfig,
    build_decoding_config,
    complete_config,
    effective_options,
    engine_supports,
    reply_budget,
)
from convmodel.generation.penalties import OPTIONS
from convmodel.models.conversation_model import ConversationModel
from tests.generation.test_option_checks import RIGHT

SEP, POSITIONS = 2, 64


def default(**options: Any) -> GenerationConfig:
    return complete_config(GenerationConfig(**options), [SEP], reply_budget(POSITIONS))


def decided(options: dict[str, Any], **defaults: Any) -> DecodingConfig:
    return build_decoding_config(default(**defaults), options, end_token_ids=[SEP], budget=reply_budget(POSITIONS))


# Values


def test_valid_values_of_engine_options_generate_replies(model: ConversationModel) -> None:
    """Whole numbers too, where transformers' own processors want fractions."""
    for name in sorted(SUPPORTED_OPTIONS & set(RIGHT)):
        for value in RIGHT[name]:
            options = {"do_sample": True, "max_new_tokens": 3} | {name: value}
            output = model.generate(["Hello"], seed=0, **options)
            assert len(output.responses) == options.get("num_return_sequences", 1), options


def test_a_reply_that_leaves_no_room_for_a_turn_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_new_tokens=62, but .* share a window of 64 tokens; allowed are 1 to 61"):
        decided({"max_new_tokens": 62})
    assert decided({"max_new_tokens": 61}).context_limit == 3
    assert decided({"max_length": 10**6}).config.max_length == POSITIONS


@pytest.mark.parametrize("name", ["input_ids", "attention_mask", "token_type_ids", "inputs_embeds"])
def test_arguments_computed_from_the_context_are_refused(name: str) -> None:
    with pytest.raises(TypeError, match=f"'{name}' is made from the context; leave it out"):
        decided({name: None})


# Presets


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_ordinary_options_that_the_engine_supports(preset: str, model: ConversationModel) -> None:
    options = PRESETS[preset]
    check_names(options)
    check_values(options)
    assert json.loads(json.dumps(options)) == options
    how = decided(options)
    assert how.uses_engine and how.num_replies == options.get("num_return_sequences", 1)
    for name, value in options.items():
        assert getattr(how.config, name) == value
    replies = model.generate(["Hello", "Hi"], seed=3, max_new_tokens=6, **options).responses
    assert replies == model.generate(["Hello", "Hi"], seed=3, max_new_tokens=6, **options).responses
    assert len(replies) == how.num_replies


# Which way


@pytest.mark.parametrize(
    ("options", "engine"),
    [
        ({}, True),
        ({"do_sample": False}, True),
        ({"num_return_sequences": 5}, True),
        ({"num_beams": 1}, True),
        ({"stop_strings": ["a"], "bad_words_ids": [[3]], "min_p": 0.1, "typical_p": 0.9}, True),
        ({"length_penalty": 1.0, "guidance_scale": 1, "encoder_repetition_penalty": 1}, True),
        ({"eos_token_id": 7, "min_new_tokens": 4, "repetition_penalty": 1.1, "no_repeat_ngram_size": 2}, True),
        ({"max_length": 40, "max_new_tokens": 8}, True),
        ({"min_length": 0}, True),
        ({"num_beams": 2}, False),
        ({"num_beams": 4, "do_sample": True}, False),
        ({"max_length": 40}, False),
        ({"min_length": 4}, False),
        ({"eta_cutoff": 0.1}, False),
        ({"epsilon_cutoff": 0.1}, False),
        ({"guidance_scale": 1.5}, False),
        ({"suppress_tokens": [5]}, False),
        ({"max_time": 2.0}, False),
        ({"output_scores": True}, False),
        ({"logits_processor": []}, False),
    ],
    ids=str,
)
def test_the_engine_accepts_only_options_that_it_supports(options: dict[str, Any], engine: bool) -> None:
    assert decided(options).uses_engine == engine


def test_every_active_unsupported_field_goes_to_transformers() -> None:
    """Also those that nobody thought of, and those of versions to come."""
    for name in GenerationConfig().to_dict():
        if name in SUPPORTED_OPTIONS or name == "_from_model_config":
            continue
        how = default()
        setattr(how, name, 17)
        assert not engine_supports(how), name


@pytest.mark.parametrize("ours", [dict([one]) for one in zip(OPTIONS, (3, 0.5, -0.5, 2.0), strict=True)], ids=str)
@pytest.mark.parametrize("others", [{"num_beams": 2}, {"eta_cutoff": 0.1}, {"max_length": 30}])
def test_an_engine_only_option_with_beams_is_an_error(
    ours: dict[str, Any], others: dict[str, Any], model: ConversationModel
) -> None:
    [name] = ours
    with pytest.raises(ValueError, match=f"{name} needs greedy decoding or sampling; leave it out, or num_b"):
        _ = decided(ours | others).uses_engine
    with pytest.raises(ValueError, match=name):
        model.generate(["Hello"], **ours, **others)
    assert decided(dict.fromkeys(ours, 0) | others).uses_engine is False


# What a decoding comes to


def decisions(how: DecodingConfig) -> tuple[dict[str, Any], int, tuple[str, ...]]:
    """Everything that a decoding decides; what a sample is drawn from only where one is drawn."""
    config = how.config.to_dict()
    for name in () if config["do_sample"] else NEUTRAL:
        del config[name]
    return config, how.context_limit, how.stop_strings


DEFAULTS: list[dict[str, Any]] = [
    {},
    {"do_sample": False},
    {"do_sample": True, "top_k": 20, "min_p": 0.1, "no_repeat_ngram_size": 3, "min_new_tokens": 2},
    {"num_beams": 3, "max_new_tokens": 9},
]


@pytest.mark.parametrize("defaults", DEFAULTS, ids=str)
def test_effective_options_reproduce_the_same_configuration(defaults: dict[str, Any]) -> None:
    """On top of the same defaults; also through JSON, and where an option turns off what a default turns on."""
    given: list[dict[str, Any]] = [
        {},
        *({"num_beams": 1} | preset for preset in PRESETS.values()),
        {"top_k": 0, "min_p": 0, "no_repeat_ngram_size": 0, "min_new_tokens": 0},
        {"do_sample": True, "temperature": 1.0, "top_p": 1.0, "typical_p": 1.0},
        {"do_sample": False},
        {"do_sample": False, "repetition_penalty": 1.2, "stop_strings": "a"},
        {"stop_strings": ["a", "b"], "max_new_tokens": 5, "num_beams": 2, "length_penalty": 0.3},
        {"max_length": 33, "min_length": 3},
        {"num_beams": 1, "num_return_sequences": 3, "do_sample": True},
        {"bad_words_ids": [[1], [2, 3]]},
        {"early_stopping": True, "num_beams": 2},
    ]
    for options in given:
        how = decided(options, **defaults)
        shown = effective_options(how)
        check_names(shown)
        again = decided(json.loads(json.dumps(shown)), **defaults)
        assert decisions(again) == decisions(how), (options, shown)


def test_defaults_are_not_changed_by_a_call() -> None:
    config = default()
    before = config.to_dict()
    options = {"temperature": 2, "num_beams": 2, "eos_token_id": [5], "stop_strings": ["a"], "top_k": None}
    build_decoding_config(config, options, end_token_ids=[SEP], budget=reply_budget(POSITIONS))
    assert config.to_dict() == before and options["top_k"] is None


def test_the_separator_ends_a_reply_beside_any_other_end_tokens() -> None:
    for ends in (5, [5], [5, SEP], SEP, []):
        assert SEP in decided({"eos_token_id": ends}).config.eos_token_id
    assert decided({"generation_config": GenerationConfig(eos_token_id=9)}).config.eos_token_id == [SEP, 9]


@pytest.mark.parametrize(("window", "shared", "least"), [(3, True, 6), (4, False, 5)])
def test_a_window_without_room_for_a_turn_and_a_reply_is_an_error(window: int, shared: bool, least: int) -> None:
    with pytest.raises(ValueError, match=rf"a window of {window} tokens has no room .* at least {least};"):
        reply_budget(window, 5, shared=shared)
    assert reply_budget(least, 5, shared=shared).max_new_tokens >= 1

"""Decoding options from the words of a command line."""

import pytest
from transformers import GenerationConfig

from convmodel.evaluation.decoding import parse_decoding, whole_decoding


def test_values_are_numbers_truths_lists_or_texts() -> None:
    given = ["top_p=0.9", "do_sample=false", "num_beams=4", 'stop_strings=["."]', "top_k=None", "temperature=1e-1"]
    assert parse_decoding(given) == {
        **{"top_p": 0.9, "do_sample": False, "num_beams": 4},
        **{"stop_strings": ["."], "top_k": None, "temperature": 0.1},
    }
    assert parse_decoding(["do_sample=True", "cache_implementation=static"]) == {
        "do_sample": True,
        "cache_implementation": "static",
    }
    assert parse_decoding([]) == {}


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("top_p", "--option top_p: write NAME=VALUE, such as top_p=0.9"),
        ("topp=0.9", "'topp' is no decoding option; did you mean top_p"),
        ("zzzzzz=1", "'zzzzzz' is no decoding option; allowed are .*top_k"),
        ("num_return_sequences=3", "'num_return_sequences' is no decoding option"),
    ],
)
def test_what_is_no_option_is_told(word: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_decoding([word])


def test_the_whole_decoding_is_the_models_own_under_the_given() -> None:
    own = GenerationConfig(do_sample=True, top_p=0.9, max_new_tokens=9, eos_token_id=2)
    assert whole_decoding(own, {"top_p": 0.5, "top_k": 3}) == {
        **{"do_sample": True, "max_new_tokens": 9, "top_k": 3, "top_p": 0.5},
        **{name: value for name, value in whole_decoding(own, {}).items() if name not in ("top_p", "top_k")},
    }
    assert own.top_p == 0.9
    with pytest.raises(ValueError, match=r"decoding options {'max_new_tokens': -1}"):
        whole_decoding(own, {"max_new_tokens": -1})

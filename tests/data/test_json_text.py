"""JSON values that are refused, and those that come back."""

import json
import math

import pytest

from convmodel.data.json_text import decode_json, encode_json, parse_json


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_no_file_can_hold_are_refused(number: str) -> None:
    text = '{"a": [{"b": ' + number + "}]}"
    with pytest.raises(ValueError, match=f"^{number} is a number that cannot be written as JSON; write null"):
        parse_json(text, noun="conversation", wanted="")


def test_a_key_twice_in_one_object_is_refused() -> None:
    with pytest.raises(ValueError, match="the key 'a' appears twice in one object; keep one of them"):
        parse_json('[{"a": 1, "b": {"a": 1}, "a": 2}]', noun="conversation", wanted="")


def test_all_else_is_as_in_the_library() -> None:
    text = '{"a": [1, -2.5e3, 1e-999, "\\u00e9\\ud83d\\ude00", null, true, {}], "b": "é"}'
    assert decode_json(text) == json.loads(text)
    with pytest.raises(ValueError):
        encode_json(math.nan)
    assert encode_json({"é": 1}) == '{"é": 1}'

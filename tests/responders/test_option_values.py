"""Settings as they are typed."""

import pytest

from convmodel.responders.option_values import parse_setting, parse_value, preset_options, show_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.7", 0.7),
        (" 5 ", 5),
        (".5", 0.5),
        ("1e-5", 1e-5),
        ("true", True),
        ("False", False),
        ("None", None),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("['Bye', \"x\"]", ["Bye", "x"]),
        ('{"7": -1.0}', {"7": -1.0}),
        ('"true"', "true"),
        ("hello world", "hello world"),
        ("[broken", "[broken"),
        ("no", "no"),
        ("(1, 2)", "(1, 2)"),
        ("1_000", 1000),
        ("", ""),
        ("[" * 10_000, "[" * 10_000),
    ],
)
def test_a_value_is_read_as_json_as_python_or_as_itself(text: str, value: object) -> None:
    read = parse_value(text)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize("value", [0.7, 5, True, None, [1, "a"], "hello", "true", "7", {"a": [1]}])
def test_a_value_that_is_shown_is_read_again(value: object) -> None:
    assert parse_value(show_value(value)) == value


def test_a_value_that_json_does_not_know_is_shown_all_the_same() -> None:
    assert show_value(range(2)) == "range(0, 2)"


def test_a_setting_is_a_name_and_a_value() -> None:
    assert parse_setting("top_k=5") == ("top_k", 5)
    assert parse_setting("stop_strings=['a=b']") == ("stop_strings", ["a=b"])
    assert parse_setting("name=") == ("name", "")


@pytest.mark.parametrize("text", ["top_k", "=5", "top k=5", ""])
def test_what_is_no_setting_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a setting; write name=value, such as temperature=0\.7"):
        parse_setting(text)


def test_a_preset_is_found_by_its_name() -> None:
    presets = {"bold": {"temperature": 2.0}}
    assert preset_options(presets, "bold") == {"temperature": 2.0}
    assert preset_options(presets, None) == {}
    with pytest.raises(ValueError, match="there is no preset 'bald'; there are bold"):
        preset_options(presets, "bald")
    with pytest.raises(ValueError, match="this model has none"):
        preset_options({}, "bold")

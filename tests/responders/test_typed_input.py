"""Option values and slash commands as users type them."""

import pytest

from convmodel.responders.typed_input import (
    edit_persona,
    is_command,
    parse_command,
    parse_option,
    parse_setting,
    parse_value,
    preset_options,
    show_value,
    unescape,
    unknown_command,
)


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


def test_a_value_that_is_not_json_is_shown_as_its_text() -> None:
    assert show_value(range(2)) == "range(0, 2)"


def test_a_setting_is_a_name_and_a_value() -> None:
    assert parse_setting("top_k=5") == ("top_k", 5)
    assert parse_setting("stop_strings=['a=b']") == ("stop_strings", ["a=b"])
    assert parse_setting("name=") == ("name", "")


@pytest.mark.parametrize("text", ["top_k", "=5", "top k=5", ""])
def test_an_invalid_setting_is_an_error_with_an_example(text: str) -> None:
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


# Slash commands


def test_two_slashes_stand_for_a_text_that_begins_with_one() -> None:
    assert is_command("/help") and not is_command("//help") and not is_command("help")
    assert [unescape(line) for line in ("//help", "help")] == ["/help", "help"]


@pytest.mark.parametrize(
    ("line", "name", "argument"),
    [("/set  top_p 0.9 ", "set", "top_p 0.9"), ("/undo", "undo", ""), ("/", "", "")],
)
def test_a_line_is_split_into_a_name_and_an_argument(line: str, name: str, argument: str) -> None:
    assert parse_command(line) == (name, argument)


@pytest.mark.parametrize(
    ("argument", "option"),
    [
        ("top_p 0.9", ("top_p", "0.9")),
        ("top_p=0.9", ("top_p", "0.9")),
        ("top_p= 0.9", ("top_p", "0.9")),
        ("bad_words a=b", ("bad_words", "a=b")),
        ("top_p", ("top_p", "")),
        ("", ("", "")),
    ],
)
def test_an_option_is_split_at_a_space_or_an_equals_sign(argument: str, option: tuple[str, str]) -> None:
    assert parse_option(argument) == option


def test_a_persona_is_replaced_extended_cleared_or_kept() -> None:
    persona = ("I like rain.",)
    assert edit_persona(persona, "I like sun.") == ("I like sun.",)
    assert edit_persona(persona, "add  I like sun.") == ("I like rain.", "I like sun.")
    assert edit_persona(persona, "clear") == () and edit_persona(persona, "") == persona
    with pytest.raises(ValueError, match="there is no sentence to add; write /persona add I like rain"):
        edit_persona(persona, "add ")


def test_an_unknown_command_is_reported_with_the_closest_name() -> None:
    assert "did you mean /reset? /help" in unknown_command("rset", ["reset", "undo"])
    assert unknown_command("x", ["reset"]) == "there is no command /x; /help lists them, and //x says /x"

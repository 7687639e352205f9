"""Slash commands as both front ends parse them."""

import pytest

from convmodel.responders.slash_commands import (
    edit_persona,
    is_command,
    parse_command,
    parse_option,
    unescape,
    unknown_command,
)


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

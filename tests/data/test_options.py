"""Options of readers: their checks, and their names in the words of each front end."""

from typing import Any

import pytest

from convmodel.data.options import DEFAULT_GAP, DEFAULT_MAX_LINE_BYTES, ReadOptions, name_option, option_style


def test_each_front_end_names_an_option_in_its_words() -> None:
    assert (name_option("format"), name_option("on_error", "skip")) == ("format=...", "on_error='skip'")
    assert name_option("max_line_bytes", 2**20) == "max_line_bytes=1,048,576"
    with option_style("command"):
        assert (name_option("format"), name_option("on_error", "skip")) == ("--format ...", "--on-error skip")
        assert name_option("mask", True) == "--mask"
        with option_style("data"):
            assert name_option("on_error", "skip") == "data.on_error=skip"
        assert name_option("me", "Ida") == "--me Ida"
        assert name_option("me", "Ida B") == "--me 'Ida B'"
    assert name_option("me", "Ida") == "me='Ida'"


def test_options_that_are_not_given_have_defaults() -> None:
    options = ReadOptions()
    assert (options.skips, options.line_limit, options.gap_seconds) == (False, DEFAULT_MAX_LINE_BYTES, DEFAULT_GAP)
    assert (options.roles, options.content_key()) == ({}, {})
    assert options.combine({"on_error": "skip", "gap": None}) == ReadOptions(on_error="skip")


def test_values_are_normalised() -> None:
    options = ReadOptions(columns="context = Frage,response=Antwort", encoding="latin1", gap="90m")
    assert options.roles == {"context": "Frage", "response": "Antwort"}
    assert (options.encoding, options.gap_seconds) == ("iso8859-1", 5400)
    assert [ReadOptions(gap=gap).gap_seconds for gap in ("2d", "30 s", 7, "1.5h")] == [172_800, 30, 7, 5400]
    assert options == ReadOptions(columns=options.columns, encoding="iso8859-1", gap=5400)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"on_error": "ignore"}, "on_error='ignore': allowed are"),
        ({"max_line_bytes": 0}, "max_line_bytes=0: give"),
        ({"encoding": "base64"}, "encoding='base64': there is no such encoding; give utf-8"),
        ({"columns": "question"}, "columns='question': is not a list of roles and names; write columns="),
        ({"columns": ""}, "columns='': is not a list"),
        ({"columns": {"answer": "x"}}, "columns=...: unknown role 'answer'; allowed are context, response, turns"),
        ({"gap": "soon"}, "gap='soon': give a time such as 90m"),
        ({"gap": "-1h"}, "gap='-1h': give a time"),
        ({"gap": 0}, "gap=0: give a time"),
    ],
)
def test_a_value_that_is_not_allowed_is_told(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as caught:
        ReadOptions(**values)
    assert str(caught.value).startswith(told)


def test_only_options_that_change_the_items_are_in_the_key() -> None:
    options = ReadOptions(on_error="skip", max_line_bytes=DEFAULT_MAX_LINE_BYTES, me="Ida")
    assert options.content_key() == {"me": "Ida"}

"""Values and names in error messages."""

import pytest

from convmodel.data.formats.base import describe_type, quote_names, shorten


@pytest.mark.parametrize(
    ("value", "description"),
    [
        (None, "null (None)"),
        (True, "true or false"),
        (3, "the number 3"),
        (0.5, "the number 0.5"),
        ("a" * 50, f"the string {'a' * 37 + '...'!r}"),
        (("a",), "a list"),
        ({}, "an object (dict)"),
        (b"", "of type bytes"),
    ],
)
def test_a_value_of_the_wrong_type_is_described(value: object, description: str) -> None:
    assert describe_type(value) == description


def test_a_number_of_thousands_of_digits_is_not_shown() -> None:
    assert describe_type(10**5000) == "a number"


def test_at_most_ten_names_are_quoted() -> None:
    assert quote_names([]) == "none"
    assert quote_names(["a", "b\n"]) == r"'a', 'b\n'"
    assert quote_names(map(str, range(12))).endswith("'9', ...")


def test_a_text_is_cut_to_its_width() -> None:
    assert (shorten("abcd", 4), shorten("abcde", 4)) == ("abcd", "a...")

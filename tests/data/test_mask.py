"""Placeholders: what is replaced, and what stays."""

import pytest

from convmodel.data.mask import mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("see https://example.org/a?b=c#d now", "see [link] now"),
        ("www.example.org!", "[link]"),
        ("example.com/path is it", "[link] is it"),
        ("write to ida.bo+x@mail.example.co.uk.", "write to [mail]."),
        ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [account] please"),
        ("GB82WEST12345698765432", "[account]"),
        ("card 4111 1111 1111 1111, ok", "card [card], ok"),
        ("5500-0000-0000-0004", "[card]"),
        ("call +49 170 1234567", "call [phone]"),
        ("(030) 123 45 67", "[phone]"),
        ("0171/2345678", "[phone]"),
        ("+1 (555) 123-4567.", "[phone]."),
        ("612 345 678", "[phone]"),
        ("account 12345678", "account [number]"),
    ],
)
def test_what_has_a_fixed_form_is_replaced(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        *("at 10:30", "on 2024-05-01", "on 2024-05-01 10:30", "01.05.2024", "in 1999 or 2024", "3.14159", "1.000.000"),
        *("12 eggs, 3 pans", "room 12345", "v1.2.3", "10,000", "a@b", "Mr.Bo", "50%"),
    ],
)
def test_dates_times_and_short_numbers_stay(text: str) -> None:
    assert mask(text) == text

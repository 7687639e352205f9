"""Placeholders: what is replaced, and what stays."""

import pytest

from convmodel.data.mask import mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("see https://example.org/a?b=c#d now", "see [link] now"),
        ("www.example.org!", "[link]!"),
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
        *(
            "AB12 3456 7890 1234",
            "in24 hour test room",
            "XY12-ABCD-EFGH",
        ),  # nearly accounts
    ],
)
def test_dates_times_and_short_numbers_stay(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "from 1999-2024",
        "2019/2020",
        "01.05.-07.05.2024",
        "20240501",
        "1 000 000 people",
        "6-4 3-6 7-6 6-2",
        "1 2 3 4 5 6 7 8 9 10",
        "10.0.19045.1234",
        "0.123456789",
        "pages 1234-1240",
        "0.5 1.5 2.5 3.5",
        "node.js",
        "hello.how are you",
        "05:00 07:00 09:00",
    ],
)
def test_years_scores_sizes_and_versions_stay(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Tel.:0170 1234567", "Tel.:[phone]"),
        ("(+49) 170 1234567", "[phone]"),
        ("+7 (912) 345-67-89", "[phone]"),
        ("06.12.34.56.78", "[phone]"),
        ("de89 3704 0044 0532 0130 00 then more", "[account] then more"),
        ("4111 1111 1111 1111 12/26", "[card] 12/26"),
        ("(see https://example.org).", "(see [link])."),
        ("sub.example.co.uk", "[link]"),
        ("192.168.178.20", "[number]"),
        ("order 112-1234567-1234567", "order [number]"),
    ],
)
def test_forms_of_countries_are_replaced(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize("text", ["a." * 50_000, "1 " * 50_000, "A" * 50_000, "1" * 50_000, "x." * 50_000 + "@"])
def test_long_texts_take_no_longer_than_their_length(text: str) -> None:
    assert len(mask(text)) <= len(text)

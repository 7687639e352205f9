"""Texts divided into messages, against counting by hand."""

import random

import pytest
import regex

from convmodel.serving.telegram.messages import LIMIT, clean, split

PIECES = [
    "a",
    "word",
    " ",
    "  ",
    "\n",
    "\n\n",
    ". ",
    "! ",
    "。",
    "é",
    "e\u0301",
    "日本語",
    "👋",
    "👩‍👩‍👧",
    "🏳️‍🌈",
    "🇩🇪",
    "\t",
]


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize("seed", range(40))
def test_parts_fit_are_not_empty_and_hold_everything_but_white_space(seed: int) -> None:
    source = random.Random(seed)
    limit = source.choice([11, 12, 30, 100])
    text = "".join(source.choice(PIECES) for _ in range(source.randint(0, 300)))
    parts = split(text, limit=limit)
    assert all(part == part.strip() != "" and utf16(part) <= limit for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())
    # What a reader sees as one character is in one part.
    seen = [one for one in regex.findall(r"\X", text) if not one.isspace()]
    assert [one for part in parts for one in regex.findall(r"\X", part) if not one.isspace()] == seen


def test_a_short_text_is_one_message_and_white_space_is_none() -> None:
    assert split("  hello\nyou ") == ["hello\nyou"]
    assert split("") == split(" \n\t ") == []


def test_exactly_the_limit_is_one_message_and_one_more_is_two() -> None:
    assert split("a" * LIMIT) == ["a" * LIMIT]
    assert split("👋" * (LIMIT // 2)) == ["👋" * (LIMIT // 2)]
    assert [len(part) for part in split("a" * (LIMIT + 1))] == [LIMIT, 1]
    assert [len(part) for part in split("a" + "👋" * (LIMIT // 2))] == [LIMIT // 2, 1]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One two three.\n\nFour. Five\nsix seven", "One two three."),
        ("One two three. Four\nfive six seven", "One two three. Four"),
        ("One two three. Four five six", "One two three."),
        ("One two three four five six", "One two three four"),
        ("A. bcdefghijklmnopqrstuvwxyz", "A. bcdefghijklmnopqrs"),
        ("これも長い文です。これも長い文です。そしてもう一つ", "これも長い文です。これも長い文です。"),
        ("He said: (Go!) And then she went", "He said: (Go!)"),
        ("One two three 4.5 five six", "One two three 4.5"),
    ],
)
def test_a_text_is_divided_at_the_best_place_of_its_second_half(text: str, first: str) -> None:
    assert split(text, limit=21)[0] == first


def test_a_character_longer_than_a_message_is_divided_but_never_a_surrogate_pair() -> None:
    text = "a" + "\u0301" * 50 + "👋" * 3
    parts = split(text, limit=11)
    assert "".join(parts) == text and all(utf16(part) <= 11 for part in parts)


def test_what_no_message_can_hold_is_replaced() -> None:
    assert clean("a\ud83d b\udc4b c\0d \ud83d\udc4b") == "a\ufffd b\ufffd cd 👋"
    assert split("\ud83d") == ["\ufffd"]

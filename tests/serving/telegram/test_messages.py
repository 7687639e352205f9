"""The split of texts into messages."""

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
def test_parts_fit_the_limit_are_not_empty_and_lose_only_white_space(seed: int) -> None:
    source = random.Random(seed)
    limit = source.choice([11, 12, 30, 100])
    text = "".join(source.choice(PIECES) for _ in range(source.randint(0, 300)))
    parts = split(text, limit=limit)
    assert all(part == part.strip() != "" and utf16(part) <= limit for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())
    # No grapheme cluster is split.
    clusters = [cluster for cluster in regex.findall(r"\X", text) if not cluster.isspace()]
    assert [c for part in parts for c in regex.findall(r"\X", part) if not c.isspace()] == clusters


def test_a_short_text_is_one_message_and_a_blank_text_none() -> None:
    assert split("  hello\nyou ") == ["hello\nyou"]
    assert split("") == split(" \n\t ") == []


def test_a_text_of_exactly_the_limit_is_one_message() -> None:
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
def test_a_text_is_split_at_the_best_boundary_of_its_second_half(text: str, first: str) -> None:
    assert split(text, limit=21)[0] == first


def test_a_cluster_longer_than_a_message_is_split_but_no_surrogate_pair() -> None:
    text = "a" + "\u0301" * 50 + "👋" * 3
    parts = split(text, limit=11)
    assert "".join(parts) == text and all(utf16(part) <= 11 for part in parts)


def test_characters_that_no_message_can_contain_are_replaced() -> None:
    assert clean("a\ud83d b\udc4b c\0d \ud83d\udc4b") == "a\ufffd b\ufffd cd 👋"
    assert split("\ud83d") == ["\ufffd"]

"""What a word is, in scripts with and without spaces."""

import random
import re
import string

import pytest

from convmodel.metrics.words import answer_words, end_of_words, ngrams, spaceless_share, words
from tests.conftest import random_text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" \t\n", []),
        ("?!...", []),
        ("Don't you know? I'm 3 years old!", ["don't", "you", "know", "i'm", "3", "years", "old"]),
        ("Don’t", ["don't"]),
        ("'quoted' rock'n'roll", ["quoted", "rock'n'roll"]),
        ("こんにちは、元気？", list("こんにちは元気")),
        ("データdata混在", ["デ", "ー", "タ", "data", "混", "在"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("한국어는 띄어쓰기", ["한국어는", "띄어쓰기"]),
        ("naïve e\u0301te", ["naïve", "e\u0301te"]),
        ("great 👍", ["great", "👍"]),
        ("👩‍👩‍👧 ❤️", ["👩‍👩‍👧", "❤️"]),
        ("$5 <sep> ~", ["5", "sep"]),
    ],
)
def test_words_are_runs_of_letters_and_single_characters_where_there_are_no_spaces(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_words_of_english_are_those_of_a_plain_split() -> None:
    source = random.Random(0)
    for _ in range(200):
        given = [source.choice(["Hello", "I'm", "fine", "2", "YES", "it's"]) for _ in range(source.randint(0, 8))]
        text = "".join(word + source.choice([" ", ", ", "! ", " - ", "... "]) for word in given)
        assert words(text) == [word.lower() for word in given]


def squad(text: str) -> list[str]:
    """The normalisation of SQuAD's evaluation, as its paper words it, for ASCII."""
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return [word for word in kept.split() if word not in ("a", "an", "the")]


def test_answer_words_of_ascii_are_those_of_squad() -> None:
    source = random.Random(1)
    pieces = ["The", "a", "An", "cat's", "hat", "-", "well-known", "(x)", "$5", "a.", "the!", "anthem", "no_one", "3.5"]
    for _ in range(500):
        text = " ".join(source.choice(pieces) for _ in range(source.randint(0, 8)))
        assert answer_words(text) == squad(text)


def test_answer_words_drop_the_punctuation_of_every_language() -> None:
    assert answer_words("元気ですか？「はい」") == list("元気ですかはい")
    assert answer_words("«L’été»…") == ["lété"]


def test_any_text_has_words_without_white_space_and_punctuation() -> None:
    source = random.Random(2)
    for _ in range(500):
        text = random_text(source)
        assert all(word and not re.search(r"[\s.,!?#]", word) for word in words(text))
        assert all(word and not word.isspace() for word in answer_words(text))


def test_ngrams_are_none_in_what_is_shorter() -> None:
    assert ngrams(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]
    assert ngrams(["a"], 2) == ngrams([], 1) == []


def test_the_share_of_letters_without_spaces_tells_japanese_from_english() -> None:
    assert spaceless_share(["Hello, you!"]) == spaceless_share([]) == spaceless_share(["!"]) == 0.0
    assert spaceless_share(["こんにちは、元気？"]) == 1.0
    assert spaceless_share(["abc", "日本語"]) == 0.5


def test_the_first_words_of_a_text_end_where_the_next_ones_begin() -> None:
    source = random.Random(0)
    for text in ["Don’t stop, now!", "日本語です", *(random_text(source) for _ in range(100))]:
        found = words(text)
        for count in range(len(found) + 1):
            end = end_of_words(text, count)
            assert end is not None and words(text[:end]) == found[:count] and words(text[end:]) == found[count:]
        assert end_of_words(text, len(found) + 1) is None

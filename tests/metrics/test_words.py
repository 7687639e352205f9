"""What a word is, in scripts with and without spaces."""

import random
import re
import string

import pytest

from convmodel.metrics.words import answer_words, end_of_words, ngrams, spaceless_share, words
from tests.conftest import random_text


@pytest.mark.parametrize(
    ("text", "expected"),
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
def test_words_are_runs_of_letters_and_single_characters_in_scripts_without_spaces(
    text: str, expected: list[str]
) -> None:
    assert words(text) == expected


def test_english_words_are_those_of_a_plain_split() -> None:
    source = random.Random(0)
    for _ in range(200):
        given = [source.choice(["Hello", "I'm", "fine", "2", "YES", "it's"]) for _ in range(source.randint(0, 8))]
        text = "".join(word + source.choice([" ", ", ", "! ", " - ", "... "]) for word in given)
        assert words(text) == [word.lower() for word in given]


def squad(text: str) -> list[str]:
    """Return the words of an ASCII text after the normalisation of SQuAD's evaluation."""
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


def test_words_contain_no_white_space_or_punctuation() -> None:
    source = random.Random(2)
    for _ in range(500):
        text = random_text(source)
        assert all(word and not re.search(r"[\s.,!?#]", word) for word in words(text))
        assert all(word and not word.isspace() for word in answer_words(text))


def test_a_text_shorter_than_n_has_no_ngrams() -> None:
    assert ngrams(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]
    assert ngrams(["a"], 2) == ngrams([], 1) == []


def test_the_spaceless_share_is_1_for_japanese_and_0_for_english() -> None:
    assert spaceless_share(["Hello, you!"]) == spaceless_share([]) == spaceless_share(["!"]) == 0.0
    assert spaceless_share(["こんにちは、元気？"]) == 1.0
    assert spaceless_share(["abc", "日本語"]) == 0.5


def test_end_of_words_splits_a_text_after_its_first_words() -> None:
    source = random.Random(0)
    for text in ["Don’t stop, now!", "日本語です", *(random_text(source) for _ in range(100))]:
        result = words(text)
        for count in range(len(result) + 1):
            end = end_of_words(text, count)
            assert end is not None and words(text[:end]) == result[:count] and words(text[end:]) == result[count:]
        assert end_of_words(text, len(result) + 1) is None

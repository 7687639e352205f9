"""Words and phrases in texts, however they are written; and a list against a slow loop over words."""

import gzip
import random
import time
from pathlib import Path

import pytest

from convmodel.serving.safety.word_list import WordList, fold

LIST = [
    *("rain", "kill the lights", "self-harm", "don't", "c++", "🖕", "$$$", "fück"),
    *("馬鹿", "ばか", "바보", "กา", "كلب", "שקר"),
]


@pytest.fixture(scope="module")
def words() -> WordList:
    return WordList(LIST)


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("rain", "rain"),
        ("It will RAIN, she said.", "rain"),
        ("(rain)", "rain"),
        ("it's the rain's fault", "rain"),
        ("_rain_ and **rain**", "rain"),
        ("ｒａｉｎ", "rain"),
        ("𝓻𝓪𝓲𝓷 ⓡⓐⓘⓝ", "rain"),
        ("r\u200ba\u00adi\u2060n\ufeff", "rain"),
        ("r\u200da\ufe0fi\u202en\U000e0041", "rain"),
        ("r\u0336a\u0336i\u0336n\u0336", "rain"),
        ("r\u0338\u0322a\u0337\u035di\u0334\u035bn\u0337\u0360", "rain"),
        ("r\x00ain", "rain"),
        ("rain\ud800", "rain"),
        ("kill the lights", "kill the lights"),
        ("Kill\n\tthe\u3000\u00a0LIGHTS!", "kill the lights"),
        ("kill\u2028the\u2003lights", "kill the lights"),
        ("self‑harm", "self-harm"),
        ("self–harm", "self-harm"),
        ("Don’t!", "don't"),
        ("C++17", "c++"),
        ("🖕🏽", "🖕"),
        ("$$$$", "$$$"),
        ("FU\u0308CK", "fück"),
        ("お馬鹿さん", "馬鹿"),
        ("ﾊﾞｶとばか", "ばか"),
        ("바보야", "바보"),
        ("바\u0338\u0322보\u0337\u035d야", "바보"),
        ("กาแฟ", "กา"),
        ("これはrainです", "rain"),
        ("كَلْبٌ", "كلب"),
        ("كـــلـب", "كلب"),
        ("שֶׁקֶר", "שקר"),
    ],
)
def test_an_entry_is_found_in_all_spelling_variants(words: WordList, text: str, entry: str) -> None:
    assert words.find(text) == entry and text in words


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "brain", "rains", "rainy", "rain1", "ra in", "r-ain", "raiń"),
        *("kill lights", "kill the light", "kill, the lights", "killthe lights", "the lights"),
        *("selfharm", "self harm", "dont", "c+", "c", "$$", "fuck", "馬", "鹿馬", "바 보", "กิา", "كلاب"),
    ],
)
def test_other_words_are_not_found(words: WordList, text: str) -> None:
    assert words.find(text) is None and text not in words


def test_folding_is_idempotent() -> None:
    source = random.Random(0)
    kinds = [(0x20, 0x250), (0x300, 0x370), (0x590, 0x700), (0x1100, 0x1200), (0xAC00, 0xAC80), (0, 0x110000)]
    for _ in range(5000):
        text = "".join(chr(source.randrange(*source.choice(kinds))) for _ in range(6))
        assert fold(fold(text)) == fold(text), ascii(text)


def plainly(entries: list[str], text: str) -> bool:
    """A loop over words, for entries and texts of small letters and single spaces."""
    return any(f" {entry} " in f" {text} " for entry in entries)


def test_random_lists_agree_with_a_plain_loop() -> None:
    source = random.Random(1)
    letters = ["a", "b", "ab", "ba", "aa"]
    both = 0
    for _ in range(1500):
        entries = [" ".join(source.choices(letters, k=source.randint(1, 3))) for _ in range(source.randint(1, 4))]
        text = " ".join(source.choices(letters, k=source.randint(0, 6)))
        entry = WordList(entries).find(text)
        assert (entry is not None) == plainly(entries, text) and (entry is None or entry in entries)
        both += entry is not None
    assert 300 < both < 1200


def test_the_first_of_several_entries_is_returned_as_given() -> None:
    words = WordList(["  Sun ", "sea", "SUN"])
    assert len(words) == 2 and words.find("the sea and the sun") == "sea" and words.find("sun, sea") == "Sun"


def test_search_time_is_independent_of_the_number_of_entries() -> None:
    text = " ".join(f"word{n}" for n in range(500))
    few, many = WordList(["word no"]), WordList([f"word{n} no {n % 7}" for n in range(10_000)])

    def seconds(words: WordList) -> float:
        began = time.perf_counter()
        assert text not in words
        return time.perf_counter() - began

    assert min(seconds(many) for _ in range(5)) < 4 * min(seconds(few) for _ in range(5))


# Files


def test_a_file_may_have_comments_and_blank_lines(tmp_path: Path) -> None:
    text = "\ufeff# of the weather\r\n\r\nrain\r\n  Heavy   snow \r\n  # not hail\r\nC#\r\nrain"
    (tmp_path / "words.txt").write_bytes(text.encode())
    (tmp_path / "words.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("words.txt", "words.gz"):
        words = WordList.read(tmp_path / name)
        assert len(words) == 3 and words.find("heavy snow") == "Heavy   snow"
        assert "hail" not in words and "C# is" in words and "Rain" in words


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rain\nsn\xffw\n", r"words:2: not UTF-8: byte 0xff at offset 7 \(byte 3 of the line\); save the file as"),
        ("pluie\nd\u00e9luge d'\u00e9t\u00e9\n".encode("cp1252"), r"words:2: not UTF-8: .*; save the file as UTF-8$"),
        (
            "rain\n\n\u200b\u00ad\n".encode(),
            r"words:3: .* has no visible characters to search for; write a word or a phrase",
        ),
        (b"# nothing\n\n", "words: the word list is empty; write one word or phrase per line"),
        (b"", "words: the word list is empty"),
    ],
)
def test_an_invalid_line_is_reported_with_file_and_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "words").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        WordList.read(tmp_path / "words")


def test_a_missing_file_and_an_empty_list_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        WordList.read(tmp_path / "none")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        WordList.read(tmp_path)
    with pytest.raises(ValueError, match="the word list is empty"):
        WordList([])

"""Wrapping of streamed text."""

import random

from wcwidth import iter_graphemes, width

from convmodel.cli.chat.screen import to_printable
from convmodel.cli.chat.wrapping import Wrapper
from tests.conftest import random_text


def wrap(text: str, columns: int) -> str:
    """Wrap a whole text."""
    wrapper = Wrapper(columns)
    return wrapper.add(text) + wrapper.end()


def plain_wrap(text: str, columns: int) -> list[str]:
    """Greedy wrapping of words that are not wide, without any pieces."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            if line and len(line) + 1 + len(word) > columns:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}" if line else word
        lines.append(line)
    return lines


def test_words_are_wrapped_as_by_a_loop_over_them() -> None:
    source = random.Random(0)
    for _ in range(200):
        words = ["x" * source.randint(1, 9) for _ in range(source.randint(1, 30))]
        text = "".join(word + source.choice([" ", " ", "\n"]) for word in words[:-1]) + words[-1]
        columns = source.randint(9, 30)
        assert wrap(text, columns).split("\n") == plain_wrap(text, columns)


def test_no_line_is_wider_than_the_window_and_nothing_is_lost_however_it_comes() -> None:
    source = random.Random(1)
    for _ in range(300):
        text, columns = random_text(source, max_pieces=40), source.randint(4, 40)
        wrapper, written, at = Wrapper(columns), "", 0
        while at < len(text):
            step = source.randint(1, 5)
            written += wrapper.add(text[at : at + step])
            at += step
        written += wrapper.end()
        shown = to_printable(text)
        assert "".join(written.split()) == "".join(shown.split())
        for line in written.split("\n"):
            assert width(line) <= columns


def test_the_pieces_do_not_matter_to_the_lines() -> None:
    text = "Hello there, 「日本語」の文章です。 and 👩‍👩‍👧 e\u0301te\u0301 https://example.org/a/very/long/address 🏳️‍🌈!"
    for columns in (10, 17, 40):
        wrapper = Wrapper(columns)
        assert "".join(wrapper.add(c) for c in text) + wrapper.end() == wrap(text, columns)


def test_japanese_is_broken_between_characters_but_not_before_a_full_stop() -> None:
    assert wrap("今日はいい天気です。", 18).split("\n") == ["今日はいい天気で", "す。"]
    assert wrap("これは「本」です", 8).split("\n") == ["これは", "「本」で", "す"]


def test_a_word_that_is_longer_than_a_line_is_broken_between_graphemes() -> None:
    word = "e\u0301" * 25
    lines = wrap(f"ab {word}", 10).split("\n")
    assert all(width(line) <= 10 for line in lines)
    assert "".join(lines).replace(" ", "") == f"ab{word}"
    assert all(next(iter_graphemes(line)) == "e\u0301" for line in lines[1:])


def test_a_word_is_written_as_soon_as_the_next_begins() -> None:
    wrapper = Wrapper(20)
    assert [wrapper.add(piece) for piece in ("How", " are", " you", "?")] == ["", "How", " are", ""]
    assert wrapper.end() == " you?"


def test_spaces_inside_of_a_line_and_at_its_beginning_stay() -> None:
    assert wrap("a  b\n  c", 10) == "a  b\n  c"

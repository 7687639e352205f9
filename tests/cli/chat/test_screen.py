"""Printable texts, and tables on narrow screens."""

import unicodedata

import pytest

from convmodel.cli.chat.screen import TextTable, to_one_line, to_printable


def test_no_control_character_survives() -> None:
    everything = "".join(map(chr, range(0x110000)))
    left = to_printable(everything)
    assert {c for c in left if unicodedata.category(c) == "Cc"} == {"\n"}
    assert not any(unicodedata.category(c) == "Cs" or unicodedata.bidirectional(c) in ("RLO", "LRO") for c in left)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x9b2J", "<9B>2J"),
        ("a\r\nb\rc", "a\nbc"),
        ("a\tb", "a    b"),
        ("\u202eabc", "<202E>abc"),
        ("\ud800", "\ufffd"),
        ("日本語 👩‍👩‍👧 e\u0301", "日本語 👩‍👩‍👧 e\u0301"),
    ],
)
def test_control_sequences_become_visible(text: str, shown: str) -> None:
    assert to_printable(text) == shown


def test_one_line_is_one_line() -> None:
    assert to_one_line(" a\n\nb\u2028 c\x0bd ") == "a b c␋d"


def test_a_narrow_screen_shows_named_cells_below_each_row() -> None:
    table = TextTable(("", "score", "source", "candidate"), (("1", "0.5", "written", "Yes"), ("2", "", "chosen", "No")))
    assert table.stacked(40) == [
        ("1  ", "Yes", "   score 0.5 · source written"),
        ("2  ", "No", "   source chosen"),
    ]

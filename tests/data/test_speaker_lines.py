"""Lines that begin with the name of their speaker, and texts of such lines."""

from typing import Any

import pytest

from convmodel.data.speaker_lines import parse_speaker, read_transcript


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("A: b", ("A", "b")),
        ("Élodie D'Arc (home): b", ("Élodie D'Arc (home)", "b")),
        ("小明：你好", ("小明", "你好")),
        ("A:b", ("A", "b")),
        ("A :", ("A", "")),
        ("A:\tb", ("A", "b")),
        ("**Ida Bo:** b", ("Ida Bo", "b")),
        ("**Ida**: **b**", ("Ida", "**b**")),
        ("[Ida]: b", ("Ida", "b")),
        ("#Person1#: b", ("Person1", "b")),
        ("https://example.org", None),
        ("10:30 is late", None),
        ("[10:30:05] Ida: x", ("Ida", "x")),
        ("10:30 - Ida B: x", ("Ida B", "x")),
        ("Ida (10:30): x", ("Ida", "x")),
        ("a long sentence of many words: yes", None),
        ("- a: b", None),
        ("{a: b}", None),
    ],
)
def test_a_name_is_short_and_begins_with_a_letter(line: str, said: Any) -> None:
    assert parse_speaker(line) == said


def test_a_text_of_lines_is_what_several_people_say() -> None:
    assert read_transcript("Ida: a\r\n\r\nBo: b\nmore\nBo: c") == [
        *(("Ida", "a"), ("Bo", "b"), ("Bo", "more"), ("Bo", "c"))
    ]
    assert read_transcript("Ida: a\nIda: b") == read_transcript("a\nIda: b\nBo: c") == read_transcript("") == []

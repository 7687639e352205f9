"""Subtitles of OPUS as conversations."""

import gzip
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from convmodel.data.containers import DamagedContainer
from convmodel.data.corpus.dump import TurnLimits
from convmodel.data.corpus.opensubtitles import OpenSubtitles, clean

LIMITS = TurnLimits(max_turns=3)

RAW = """<?xml version="1.0" encoding="utf-8"?>
<document id="1">
 <s id="1"><time id="T1S" value="00:00:01,000" />- Where were you?<time id="T1E" value="00:00:02,000" /></s>
 <s id="2"><time id="T2S" value="00:00:03,000" />JOHN: At home.</s>
 <s id="3">(sighs)<time id="T2E" value="00:00:05,500" /></s>
 <s id="4"><time id="T3S" value="00:00:20,000" />Good morning.</s>
 <s id="5"><w id="5.1">How</w> <w id="5.2">are</w> <w id="5.3">you</w><w id="5.4">?</w></s>
</document>
"""


def conversations(path: Path, limits: TurnLimits = LIMITS) -> tuple[list[list[str]], Counter[str]]:
    counts: Counter[str] = Counter()
    rows = sorted(OpenSubtitles().rows(str(path), limits, counts))
    films = [list(group) for _, group in groupby(rows, key=lambda row: row[0])]
    return [turns for film in films for turns in OpenSubtitles().conversations(film, limits)], counts


def test_a_film_is_divided_where_nobody_speaks_for_five_seconds(tmp_path: Path) -> None:
    file = tmp_path / "1.xml.gz"
    file.write_bytes(gzip.compress(RAW.encode()))
    found, counts = conversations(file)
    assert found == [["Where were you?", "At home."], ["Good morning.", "How are you?"]]
    assert counts == {"read": 5, "kept": 4, "no words": 1}


def test_lines_of_a_text_are_turns_and_blocks_are_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convmodel.data.corpus.opensubtitles._BLOCK", 5)
    file = tmp_path / "en.txt"
    file.write_text("\n".join(f"line {n}" for n in range(7)), encoding="utf-8")
    found, _ = conversations(file)
    assert found == [["line 0", "line 1", "line 2"], ["line 3", "line 4"], ["line 5", "line 6"]]


def test_a_sentence_that_is_too_long_divides_a_conversation(tmp_path: Path) -> None:
    file = tmp_path / "en.txt"
    file.write_text("a\nb\n" + "word " * 200 + "\nc\nd\n", encoding="utf-8")
    assert conversations(file)[0] == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("[Door opens] Hello.", "Hello."),
        ("♪ la la la ♪", ""),
        ("MR. SMITH: Yes ,  sir.", "Yes , sir."),
        ("– No!", "No!"),
        ("At 10:30: now", "At 10:30: now"),
    ],
)
def test_sounds_songs_names_and_dashes_are_no_words(sentence: str, expected: str) -> None:
    assert clean(sentence) == expected


def test_a_file_that_is_no_xml_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "1.xml"
    file.write_text("<document><s>Hello", encoding="utf-8")
    with pytest.raises(DamagedContainer, match="is no XML"):
        conversations(file)

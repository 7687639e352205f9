"""Subtitles: cues as turns, what continues a turn, what begins a speaker, and what divides conversations."""

from typing import Any

import pytest


def cue(begin: int, text: str, end: int | None = None) -> str:
    end = begin + 1 if end is None else end
    return f"1\n00:{begin // 60:02}:{begin % 60:02},000 --> 00:{end // 60:02}:{end % 60:02},500\n{text}\n\n"


def turns(reader: Any, *cues: str, **options: Any) -> list[tuple[str, ...]]:
    made = reader("".join(cues), **options)
    assert made.format == "subtitles"
    return [each.turns for each in made]


def test_successive_cues_are_turns_and_tags_are_removed(reader: Any) -> None:
    assert turns(reader, "\ufeff", cue(1, "<i>Who's there?</i>"), cue(3, "{\\an8}Only me.")) == [
        ("Who's there?", "Only me.")
    ]


def test_a_silence_begins_a_new_conversation(reader: Any) -> None:
    made = [cue(1, "a."), cue(6, "b."), cue(12, "c."), cue(14, "d."), cue(5, "e."), cue(6, "f.")]
    assert turns(reader, *made) == [("a.", "b.", "c.", "d."), ("e.", "f.")]
    assert turns(reader, cue(1, "a."), cue(3, "b."), cue(10, "c."), cue(12, "d.")) == [("a.", "b."), ("c.", "d.")]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["I came", "to see you.", "Why?"], ("I came\nto see you.", "Why?")),
        (["I came.", "to see you.", "Why?"], ("I came.", "to see you.", "Why?")),
        (["Well...", "maybe.", "Why?"], ("Well...\nmaybe.", "Why?")),
        (["Hello", "Hi", "Bye"], ("Hello", "Hi", "Bye")),
        (["- Hello.\n- Hi.", "-Bye."], ("Hello.", "Hi.", "Bye.")),
        (["Two\nlines.", "--and more."], ("Two\nlines.", "--and more.")),
        (["IDA: One.\nBO: Two.", "BO: Three."], ("One.", "Two.\nThree.")),
        (["<v Ida>One.</v>", "<v.loud Bo>Two &amp;</v>", "<v Bo>three."], ("One.", "Two &\nthree.")),
        (["One.", "[door slams]", "(sighs) Two."], ("One.", "Two.")),
        (["One.", "♪ La la ♪", "Two."], ("One.", "Two.")),
    ],
)
def test_turns_are_told_apart(reader: Any, texts: list[str], expected: tuple[str, ...]) -> None:
    assert turns(reader, *(cue(2 * number, text) for number, text in enumerate(texts))) == [expected]


def test_what_is_left_out_is_counted(reader: Any) -> None:
    made = reader(cue(1, "[sighs]\nAlone.") + cue(20, "One.") + cue(22, "Two. (laughs)"), name="x.srt")
    assert [line for line, _ in made.with_line_numbers()] == [7]
    assert made.report.skipped_messages == {"sound description": 2, "unanswered cue": 1}


def test_webvtt_has_other_times_ids_and_remarks(reader: Any) -> None:
    content = "WEBVTT - film\n\nNOTE nobody\nsays this\n\nintro\n00:01.000 --> 00:02.000 align:start\nOne.\n\n"
    assert turns(reader, content, "1:00:02.500 --> 1:00:03.000\nTwo.\n\n", "01:00:03.500 --> 01:00:04.000\nThree.") == [
        ("Two.", "Three.")
    ]


def test_cues_need_no_blank_line_between_them(reader: Any) -> None:
    assert turns(reader, cue(1, "One.").replace("\n\n", "\n"), cue(3, "Two.")) == [("One.", "Two.")]


def test_damage_and_long_cues_are_told(reader: Any) -> None:
    made = reader(
        (cue(1, "One.") + cue(3, "Two.")).encode() + b"\xff\n" + cue(5, "x" * 90 + "\n" + "y" * 90).encode(),
        on_error="skip",
        max_line_bytes=100,
    )
    assert [each.turns for each in made] == [("One.", "Two.")]
    assert ":9: not UTF-8" in made.report.problems[0] and ":11: the cue is longer" in made.report.problems[1]


@pytest.mark.parametrize(
    "times", ["00:00:03,000 --> 00:00:0x,000", "00:00:03,000 -> 00:00:04,000", "00:03 --> 00:04", "00:00:03,000"]
)
def test_a_cue_without_valid_times_is_told(reader: Any, times: str) -> None:
    content = f"{cue(1, 'One.').strip()}\n2\n{times}\nLost.\n\n{cue(5, 'Two.')}"
    made = reader(content, name="x.srt", on_error="skip")
    assert [each.turns for each in made] == [("One.", "Two.")]
    assert len(made.report.problems) == 1 and ":5: the cue has no valid times" in made.report.problems[0]

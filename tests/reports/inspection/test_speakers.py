"""Who speaks, and in which script."""

import pytest

from convmodel.reports.inspection.chunks import Chunk
from convmodel.reports.inspection.scripts import HIDDEN, OTHER, CharacterClasses, script_of
from tests.reports.inspection.conftest import Inspect, Write, found

LONG = "This is a long story about nothing at all, told by one who likes to hear himself talk."


def test_a_conversation_in_which_one_says_nearly_all_is_found(write: Write, inspect: Inspect) -> None:
    path = write("a", [["Hi", "Hello", "How are you?", "Fine"], ["Yes", LONG, "No", LONG], [LONG, "Oh"]])
    inspection = inspect(path)
    [finding] = found(inspection, "one_sided")
    assert (finding.count, finding.examples[0].location) == (1, f"{path}:2")
    assert finding.examples[0].text.startswith("the second speaker says 9")
    first, second = inspection.files[0].speaker_tokens
    assert first + second == inspection.files[0].turn_tokens.total


def test_a_persona_is_not_said_by_anybody(write: Write, inspect: Inspect) -> None:
    inspection = inspect(write("a", [{"turns": ["Hi", "Yes"], "persona": [LONG, LONG]}]))
    assert sum(inspection.files[0].speaker_tokens) == inspection.files[0].turn_tokens.total < 10


def test_a_speaker_who_always_says_the_same_is_found(write: Write, inspect: Inspect) -> None:
    path = write("a", [["a", "ok", "b", "ok", "c", "ok"], ["a", "ok", "b", "ok"], ["so", "a", "so", "b", "so"]])
    [finding] = found(inspect(path), "monotone")
    assert [(example.location, example.text) for example in finding.examples] == [
        (f"{path}:1", "the second speaker, 3 times: ok"),
        (f"{path}:3", "the first speaker, 3 times: so"),
    ]


def test_a_turn_that_repeats_the_one_before_is_found(write: Write, inspect: Inspect) -> None:
    path = write("a", [["a", "b", "a"], ["Hi", "What?", "What?"]])
    [finding] = found(inspect(path), "echo")
    assert (finding.count, finding.total, finding.examples[0].text) == (1, 2, "turn 3: What?")


def test_the_most_frequent_turns_are_told(write: Write, inspect: Inspect) -> None:
    path = write("a", [["Hi", "Yes", "Hi"], ["Hi", "Yes"], ["No", "Never"]])
    assert inspect(path).files[0].frequent == (("Hi", 3), ("Yes", 2))


def test_remembering_few_turns_keeps_the_frequent_ones(
    write: Write, inspect: Inspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convmodel.reports.inspection.speakers._MAX_COUNTED", 40)
    path = write("a", [[f"question {n}", "Yes"] for n in range(300)])
    assert inspect(path).files[0].frequent[0] == ("Yes", 300)


def test_each_conversation_counts_for_its_main_script(write: Write, inspect: Inspect) -> None:
    lines = [["Hello", "Hi, Анна"]] * 200 + [["今日は", "元気です"], ["你好", "再见"], ["Привет", "ok"], ["1", "?"]]
    path = write("a", [[f"{a} {n}", b] for n, (a, b) in enumerate(lines)])
    inspection = inspect(path)
    shares = {share.script: share.conversations for share in inspection.files[0].scripts}
    assert shares == {"Latin": 200, "Japanese": 1, "Han": 1, "Cyrillic": 1, "no letters": 1}
    [finding] = found(inspection, "odd_script")
    assert (finding.count, [example.location for example in finding.examples]) == (
        3,
        [f"{path}:{n}" for n in (201, 202, 203)],
    )
    assert finding.examples[2].text == "Cyrillic: Привет 202"


def test_scripts_that_come_up_later_are_counted_too(
    write: Write, inspect: Inspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convmodel.reports.inspection.chunks.CHUNK", 1)
    lines = [["a", "b"], ["г", "д"], ["か", "漢字字字"], ["漢", "字"], ["ひ", "ら"], ["c", "d"]]
    shares = {share.script: share.conversations for share in inspect(write("a", lines)).files[0].scripts}
    assert shares == {"Latin": 2, "Cyrillic": 1, "Japanese": 2, "Han": 1}


@pytest.mark.parametrize(
    ("letter", "script"),
    [
        ("a", "Latin"),
        ("ａ", "Latin"),
        ("µ", "Latin"),
        ("ж", "Cyrillic"),
        ("漢", "Han"),
        ("ｶ", "Kana"),
        ("한", "Hangul"),
    ],
)
def test_the_script_of_a_letter_is_that_of_its_name(letter: str, script: str) -> None:
    assert script_of(letter) == script


def test_classes_are_by_character() -> None:
    import numpy as np

    from convmodel.data.conversation import Conversation

    classes = CharacterClasses()
    chunk = Chunk([Conversation(["a1", "\ufeffb"])], np.array([1]))
    latin = classes.script_class(0)
    assert classes(chunk.code_points).tolist() == [latin, OTHER, OTHER, HIDDEN, latin, OTHER]
    assert classes.scripts == ["Latin"]

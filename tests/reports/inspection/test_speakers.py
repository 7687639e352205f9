"""Who speaks, and in which script."""

import pytest

from tests.reports.inspection.helpers import Inspect, Write, findings_of

LONG = "This is a long story about nothing at all, told by one who likes to hear himself talk."


def test_one_sided_conversations_are_found(write: Write, inspect: Inspect) -> None:
    path = write("a", [["Hi", "Hello", "How are you?", "Fine"], ["Yes", LONG, "No", LONG], [LONG, "Oh"]])
    inspection = inspect(path)
    [finding] = findings_of(inspection, "one_sided")
    assert (finding.count, finding.examples[0].location) == (1, f"{path}:2")
    assert finding.examples[0].text.startswith("the second speaker says 9")
    first, second = inspection.files[0].speaker_tokens
    assert first + second == inspection.files[0].turn_tokens.total


def test_personas_do_not_count_as_turns(write: Write, inspect: Inspect) -> None:
    inspection = inspect(write("a", [{"turns": ["Hi", "Yes"], "persona": [LONG, LONG]}]))
    assert sum(inspection.files[0].speaker_tokens) == inspection.files[0].turn_tokens.total < 10


def test_a_speaker_who_always_says_the_same_is_found(write: Write, inspect: Inspect) -> None:
    path = write("a", [["a", "ok", "b", "ok", "c", "ok"], ["a", "ok", "b", "ok"], ["so", "a", "so", "b", "so"]])
    [finding] = findings_of(inspect(path), "monotone")
    assert [(example.location, example.text) for example in finding.examples] == [
        (f"{path}:1", "the second speaker, 3 times: ok"),
        (f"{path}:3", "the first speaker, 3 times: so"),
    ]


def test_a_turn_that_repeats_the_one_before_is_found(write: Write, inspect: Inspect) -> None:
    path = write("a", [["a", "b", "a"], ["Hi", "What?", "What?"]])
    [finding] = findings_of(inspect(path), "echo")
    assert (finding.count, finding.total, finding.examples[0].text) == (1, 2, "turn 3: What?")


def test_the_most_frequent_turns_are_reported(write: Write, inspect: Inspect) -> None:
    path = write("a", [["Hi", "Yes", "Hi"], ["Hi", "Yes"], ["No", "Never"]])
    assert inspect(path).files[0].frequent == (("Hi", 3), ("Yes", 2))


def test_remembering_few_turns_keeps_the_frequent_ones(
    write: Write, inspect: Inspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convmodel.reports.inspection.speakers._MAX_COUNTED", 40)
    path = write("a", [[f"question {n}", "Yes"] for n in range(300)])
    assert inspect(path).files[0].frequent[0] == ("Yes", 300)

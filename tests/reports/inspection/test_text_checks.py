"""Planted faults, each found with its file, line and turn; and harmless texts that resemble faults."""

import pytest

from convmodel.reports.inspection.findings import KINDS
from convmodel.reports.inspection.text_checks import (
    find_mojibake,
    find_phone,
    fix_mojibake,
    hidden_characters,
    is_blank,
)
from tests.reports.inspection.helpers import Inspect, Write, findings_of

FAULTS = {
    "replacement": "I went to the caf\ufffd.",
    "mojibake": "It was a nice cafÃ©, wasn\u00e2\u20ac\u2122t it?",
    "control": "Some \x1b[31mred\x1b[0m text",
    "hidden": "pass\u200bword",
    "blank": "\u200b\ufeff",
    "html": "Fish &amp; chips<br/>and tea",
    "url": "Look at https://example.org/x",
    "email": "Write to anna.b+c@mail.example.org please",
    "phone": "Call me at +44 20 7946 0958",
    "control_token": "Hello <|endoftext|> hello",
    "repeated": "Nooooooooooo",
    "wordless": "?!",
}
HARMLESS = [
    "Ein Café, déjà vu, SÃO PAULO, naïve, “quotes” – dashes…",
    "👩‍👩‍👧 🏳️‍🌈 and می‌خواهم",
    "نعم \u2067abc\u2069 نعم \u200f",
    "ก\u200bข ខ\u200bគ",
    "a < b && c > d, 5 <3 <i think so>, R&D; AT&T",
    "see 2019-2020, 1999-12-31, 192.168.100.200, 1,000,000 or 3.14159265358 and 5 - 6 - 7",
    "Aaaah... -------- ",
    "a@b or @anna, www or http",
    "tabs\tand\nlines",
    "<separate> [CLASS] s>",
]


@pytest.mark.parametrize("kind", FAULTS)
def test_a_planted_fault_is_found_where_it_is(kind: str, write: Write, inspect: Inspect) -> None:
    fine = ["How are you?", "Fine, thanks."]
    path = write("data.jsonl", [fine, ["Hello", "Hi", FAULTS[kind]], ["Well", "Good"]])
    inspection = inspect(path)
    [finding] = findings_of(inspection, kind)
    assert (finding.count, finding.severity) == (1, KINDS[kind].severity)
    [example] = finding.examples
    assert example.location == f"{path}:2" and example.text.startswith("turn 3: ")
    others = {finding.kind for finding in inspection.findings} - {kind}
    assert others <= {"blank": {"hidden"}}.get(kind, set())


def test_harmless_texts_have_no_findings(write: Write, inspect: Inspect) -> None:
    path = write("data.jsonl", [[text, f"{index}."] for index, text in enumerate(HARMLESS)])
    assert [(f.kind, [e.text for e in f.examples]) for f in inspect(path).findings if f.kind != "odd_script"] == []


def test_a_fault_in_a_persona_is_located_there(write: Write, inspect: Inspect) -> None:
    path = write("data.jsonl", [{"turns": ["a", "b"], "persona": ["I am Ann.", "I like caf\ufffds."]}])
    [finding] = findings_of(inspect(path), "replacement")
    assert finding.examples[0].text == "persona sentence 2: I like caf\ufffds."


def test_every_text_counts_once_and_five_examples_are_kept(write: Write, inspect: Inspect) -> None:
    path = write("data.jsonl", [[f"{n} \ufffd\ufffd", "b \ufffd", "c"] for n in range(7)])
    [finding] = findings_of(inspect(path), "replacement")
    assert (finding.count, finding.total) == (14, 21)
    assert [example.location for example in finding.examples] == [f"{path}:{n}" for n in (1, 1, 2, 2, 3)]


def test_faults_are_found_in_every_chunk(write: Write, inspect: Inspect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convmodel.reports.inspection.chunks.CHUNK", 3)
    lines = [[f"line {n}", "x\x07y" if n % 4 == 2 else "fine"] for n in range(1, 21)]
    path = write("data.jsonl", lines)
    inspection = inspect(path)
    [finding] = findings_of(inspection, "control")
    assert [example.location for example in finding.examples] == [f"{path}:{n}" for n in (2, 6, 10, 14, 18)]
    assert (finding.count, inspection.files[0].conversations) == (5, 20)


def test_control_tokens_of_the_vocabulary_are_found(write: Write, inspect: Inspect) -> None:
    path = write("data.jsonl", [["I am <speaker1> now", "ok"]])
    assert findings_of(inspect(path), "control_token")[0].count == 1


def test_mojibake_is_fixed_and_other_text_is_unchanged() -> None:
    assert fix_mojibake("cafÃ© and â€œthisâ€\x9d") == "café and “this”"
    assert find_mojibake("ab cÃ©") == 4
    assert find_mojibake("Ångström × naïve") is None


@pytest.mark.parametrize("text", ["+1 (555) 123-4567", "555-123-4567", "(030) 12345678", "call 0171 2345678!"])
def test_telephone_numbers_are_found(text: str) -> None:
    assert find_phone(text) is not None


@pytest.mark.parametrize(
    "text", ["2015-02-04 10:35", "686 586 386 x", "10.0.0.255", "1234567", "0.123456789", "7-3-2019"]
)
def test_other_numbers_are_not_telephone_numbers(text: str) -> None:
    assert find_phone(text) is None


def test_hidden_characters_depend_on_the_script() -> None:
    assert hidden_characters("abc").sub("", "a\u202eb\u200bc\ufeff") == "abc"
    assert hidden_characters("שלום").sub("", "\u2067שלום\u2069\u200b") == "\u2067שלום\u2069"
    assert is_blank("\u200d \u00a0\ufe0f\x00") and not is_blank("\u200d.")

"""The example conversations: reproducible, varied, and free of the mistakes that a grammar makes."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "examples" / "data"
Record = dict[str, list[str]]
Records = dict[str, list[Record]]
Drawn = list[tuple[str, Any]]

COUNTS = {"train": 8000, "valid": 500, "test": 500}
KANA_OR_KANJI = re.compile(r"[\u3041-\u30ff\u4e00-\u9fff]")
MISTAKES = {
    "a before a vowel": r"\b[Aa] (?!one\b|uni|use|euro)[aeiou]",
    "an before a consonant": r"\b[Aa]n (?!hour\b|honest)[^aeiou]",
    "a doubled word": r"\b([A-Za-z]+) \1\b",
    "a space before punctuation": r"\s[.,!?;:]",
    "doubled punctuation": r"[.,!?;:]{2}",
    "a sentence that starts in lower case": r"[.!?] [a-z]",
    "a slot or a choice that was not filled": r"[{}|()]",
    "the word I in lower case": r"\bi\b",
    "an article before the": r"\b(a|an|the|some) (a|an|the)\b",
    "more than one, in the singular": r"\b(two|three|five|ten) (year|week|minute|hour|euro|kilo|day)\b",
}


@contextmanager
def imported(script: str) -> Iterator[ModuleType]:
    """Import a script of the folder for the duration of the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        patch.delitem(sys.modules, "grammar", raising=False)
        yield importlib.import_module(script)
        sys.modules.pop(script, None)
        sys.modules.pop("grammar", None)


@pytest.fixture(scope="module")
def make_data() -> Iterator[ModuleType]:
    with imported("make_data") as module:
        yield module


@pytest.fixture(scope="module")
def conversations(make_data: ModuleType) -> Drawn:
    return list(make_data.draw())


@pytest.fixture(scope="module")
def records() -> Records:
    texts = {split: (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8") for split in COUNTS}
    return {split: [json.loads(line) for line in text.splitlines()] for split, text in texts.items()}


@pytest.fixture(scope="module")
def all_records(records: Records) -> list[Record]:
    return [record for split in COUNTS for record in records[split]]


@pytest.fixture(scope="module")
def sentences(all_records: list[Record]) -> list[str]:
    return [text for record in all_records for text in record["turns"] + record.get("persona", [])]


def test_the_script_writes_the_committed_files_byte_for_byte(
    make_data: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_data.py", "--output", str(tmp_path)])
    make_data.main()
    for split in COUNTS:
        assert (tmp_path / f"{split}.jsonl").read_bytes() == (FOLDER / f"{split}.jsonl").read_bytes()


def test_the_readme_shows_the_counts_of_the_files(conversations: Drawn, make_data: ModuleType) -> None:
    assert make_data.counts(conversations) in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_splits_have_their_sizes(records: Records) -> None:
    assert {split: len(split_records) for split, split_records in records.items()} == COUNTS


def test_a_conversation_has_two_to_twelve_clean_turns(all_records: list[Record]) -> None:
    for record in all_records:
        assert record.keys() <= {"turns", "persona"}
        assert 2 <= len(record["turns"]) <= 12
        assert 1 <= len(record.get("persona", ["none"])) <= 3
        for text in record["turns"] + record.get("persona", []):
            assert text and text == " ".join(text.split()), record


def test_all_conversations_of_the_three_files_are_different(all_records: list[Record]) -> None:
    counts = Counter(tuple(turn.casefold() for turn in record["turns"]) for record in all_records)
    assert [turns for turns, count in counts.items() if count > 1] == []


def test_there_are_many_topics_and_none_is_rare(conversations: Drawn) -> None:
    counts = Counter(topic for topic, conversation in conversations if conversation.language == "English")
    assert len(counts) >= 20
    assert min(counts.values()) >= 20


def test_a_small_part_is_japanese(all_records: list[Record], conversations: Drawn) -> None:
    japanese = sum(bool(KANA_OR_KANJI.search("".join(record["turns"]))) for record in all_records)
    assert 0.05 <= japanese / len(all_records) <= 0.08
    assert japanese == sum(conversation.language == "Japanese" for _, conversation in conversations)


def test_a_conversation_is_in_one_language(all_records: list[Record]) -> None:
    for record in all_records:
        assert len({bool(KANA_OR_KANJI.search(turn)) for turn in record["turns"]}) == 1, record


def test_some_conversations_have_a_persona_of_the_last_speaker(all_records: list[Record]) -> None:
    with_persona = [record for record in all_records if "persona" in record]
    assert 0.12 <= len(with_persona) / len(all_records) <= 0.15
    assert all(len(record["turns"]) % 2 == 0 for record in with_persona)


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        (r"I(?: work as| am|'m) (an? \w+)\.", r"(?:I'm|I am|I work as) (an? \w+)\."),
        (r"(?:live|home is|flat) in (\w+)\.", r"(?:I live|home is) in (\w+)"),
        (r"(?:[Mm]y name is|I'm|I am called) ([A-Z]\w+)\.", r"(?:My name is|I'm|I am) ([A-Z]\w+)"),
    ],
)
def test_answers_agree_with_the_persona(all_records: list[Record], statement: str, answer: str) -> None:
    checked = 0
    for record in all_records:
        stated = re.search(statement, " ".join(record.get("persona", [])))
        answers = [value for turn in record["turns"][1::2] for value in re.findall(answer, turn)]
        if stated and answers:
            checked += 1
            assert set(answers) == {stated[1]}, record
    assert checked > 20


@pytest.mark.parametrize("mistake", MISTAKES)
def test_there_is_never(mistake: str, sentences: list[str]) -> None:
    pattern = re.compile(MISTAKES[mistake])
    assert [text for text in sentences if pattern.search(text)] == []


def test_only_the_first_turn_may_lack_capitals_and_punctuation(all_records: list[Record]) -> None:
    for record in all_records:
        for text in record["turns"][1:] + record.get("persona", []):
            assert not text[0].islower() and text[-1] in '.!?。"', record


def test_no_conversation_ends_with_a_question(all_records: list[Record]) -> None:
    assert [record for record in all_records if record["turns"][-1].endswith(("?", "か。"))] == []


@pytest.mark.parametrize(
    "first",
    ["hello", "Hello!", "Hi", "hi", "Good morning", "How are you?", "Thank you!", "What is your name?"],
)
def test_common_greetings_are_in_train(first: str, records: Records) -> None:
    assert sum(record["turns"][0] == first for record in records["train"]) >= 5


def test_the_vocabulary_has_a_moderate_size(sentences: list[str]) -> None:
    words = {word.lower() for text in sentences for word in re.findall(r"[A-Za-z'-]+", text)}
    assert 600 <= len(words) <= 1600


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("[start] -> nowhere\nHello!\n", "needs ['nowhere']"),
        ("[start] -> end\nI like {fod}.\n", "needs ['fod']"),
        ("[start] -> end\nHello!\n\n[lonely] -> end\nHi!\n", "nothing leads to [lonely]"),
        ("= pet | eats\ndog\n\n[start] -> end\nHello!\n", "has 1 cells; the table needs 2"),
        ("nxet: food\n\n[start] -> end\nHello!\n", "'nxet: food' is no option"),
    ],
)
def test_a_mistake_in_a_part_is_an_error(make_data: ModuleType, tmp_path: Path, part: str, message: str) -> None:
    (tmp_path / "shared.txt").write_text("[nice] -> end\nNice!\n", encoding="utf-8")
    (tmp_path / "part.txt").write_text(part, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(message)):
        make_data.read_topics(tmp_path, shared=tmp_path / "shared.txt")

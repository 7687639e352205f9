"""Repeated conversations and replies, against a comparison of every conversation with every other."""

import random

import pytest

from convmodel.reports.inspection import minhash as module
from convmodel.reports.inspection.tables import notes
from tests.reports.inspection.helpers import Inspect, Write, changed, families, findings_of, jaccard, pairs_of, talk


def test_similar_conversations_are_those_of_a_comparison_of_all_pairs(write: Write, inspect: Inspect) -> None:
    conversations = families(random.Random(0), 80)
    random.Random(1).shuffle(conversations)
    pairs = list(map(pairs_of, conversations))
    near = [max((jaccard(earlier, later) for earlier in pairs[:n]), default=0.0) for n, later in enumerate(pairs)]
    exact = {n for n, c in enumerate(conversations) if c in conversations[:n]}
    inspection = inspect(write("a", conversations))
    repeats = inspection.duplicates.near[0, 0]
    hashes = {hash((tuple(turns), ())): n for n, turns in reversed(list(enumerate(conversations)))}
    repeated = {hashes[digest] for digest in repeats.hashes.tolist()}
    surely = {n for n, value in enumerate(near) if value >= 0.9} - exact
    never = {n for n, value in enumerate(near) if value < 0.65}
    mostly = {n for n, value in enumerate(near) if value >= 0.85} - exact
    assert len(surely) > 30 and len(never) > 100
    assert len(repeated & surely) >= 0.97 * len(surely)
    assert not repeated & never
    assert len(repeated & mostly) >= 0.9 * len(mostly) > 40
    [duplicates] = findings_of(inspection, "duplicate") if exact else [None]
    assert (duplicates.count if duplicates else 0) == len(exact)


def test_near_duplicates_ignore_case_punctuation_and_spaces(write: Write, inspect: Inspect) -> None:
    path = write("a", [["Hello, you!", "Hi."], ["hello  you", "HI"], ["Hello, you!", "Hi."], ["Bye", "Bye"]])
    inspection = inspect(path, near=1.0)
    [near] = findings_of(inspection, "near_duplicate")
    [exact] = findings_of(inspection, "duplicate")
    assert (near.count, near.examples[0].location, near.examples[0].text) == (1, f"{path}:2", f"same words as {path}:1")
    assert (exact.count, exact.examples[0].location, exact.examples[0].text) == (1, f"{path}:3", f"as {path}:1")


def test_different_personas_make_different_conversations(write: Write, inspect: Inspect) -> None:
    lines = [{"turns": ["Hi", "Hello"], "persona": [name]} for name in ("I am Ann.", "I am Bob.", "I am Ann.")]
    [finding] = findings_of(inspect(write("a", lines)), "duplicate")
    assert finding.count == 1


def test_japanese_is_compared_by_characters(write: Write, inspect: Inspect) -> None:
    text = "今日はとても天気がいいので公園を散歩してから友達と昼ご飯を食べました"
    path = write("a", [[text, "いいですね"], [text.replace("友達", "先生"), "いいですね"], ["全然違う話です", "はい"]])
    [finding] = findings_of(inspect(path, near=0.7), "near_duplicate")
    assert (finding.count, finding.examples[0].location) == (1, f"{path}:2")


def test_conversations_without_words_are_no_near_duplicates(write: Write, inspect: Inspect) -> None:
    assert not findings_of(inspect(write("a", [["👍", "!"], ["?", "..."], ["🙂", "🙂 🙂"]])), "near_duplicate")


def test_leaks_are_counted_for_the_earliest_file(write: Write, inspect: Inspect) -> None:
    source = random.Random(5)
    shared, both, alike, own = (talk(source, turns=6) for _ in range(4))
    train = write("train", [shared, both, alike, talk(source)])
    valid = write("valid", [talk(source), both, own])
    test = write("test", [both, talk(source), changed(random.Random(8), alike, 0.02), own, shared, shared])
    inspection = inspect(train, valid, test)
    leaks = {
        (leak.source, leak.other): (leak.count, leak.total, [example.location for example in leak.examples])
        for leak in findings_of(inspection, "leak")
    }
    assert leaks == {
        (valid, train): (1, 3, [f"{valid}:2"]),
        (test, train): (3, 6, [f"{test}:1", f"{test}:5", f"{test}:6"]),
        (test, valid): (1, 6, [f"{test}:4"]),
    }
    [near] = findings_of(inspection, "near_leak")
    assert (near.source, near.other, near.count) == (test, train, 1)
    assert near.examples[0].location == f"{test}:3" and near.examples[0].text.endswith(f"% like {train}:3")
    assert [(p.earlier, p.later, p.leaks, p.near_leaks) for p in inspection.pairs] == [
        (train, valid, 1, 0),
        (train, test, 3, 1),
        (valid, test, 1, 0),
    ]


def test_replies_and_beginnings_are_those_of_all_prefixes(write: Write, inspect: Inspect) -> None:
    source = random.Random(6)
    said = ["a", "b", "c"]
    files = [[source.choices(said, k=source.randint(2, 5)) for _ in range(12)] for _ in range(2)]
    paths = [write(f"file{n}", lines) for n, lines in enumerate(files)]
    inspection = inspect(*paths)
    replies = [[tuple(c[: n + 1]) for c in lines for n in range(1, len(c))] for lines in files]
    [pair] = inspection.pairs
    assert pair.shared_replies == sum(reply in replies[0] for reply in replies[1]) > 0
    assert pair.replies == len(replies[1])
    beginnings = {f.source: f.count for f in findings_of(inspection, "beginning")}
    for path, lines in zip(paths, files, strict=True):
        longer = {tuple(c[:n]) for c in lines for n in range(2, len(c))}
        assert beginnings.get(path, 0) == sum(tuple(c) in longer for c in lines)


def test_counts_are_estimated_from_a_sample_of_very_many(
    write: Write, inspect: Inspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = random.Random(7)
    conversations = [talk(source) for _ in range(1500)]
    path = write("a", conversations + conversations[:1000])
    monkeypatch.setattr(module, "MAX_CONVERSATIONS", 900)
    inspection = inspect(path)
    assert inspection.duplicates.one_in[0] == 4
    [finding] = findings_of(inspection, "duplicate")
    assert 800 < finding.count < 1200 and finding.count % 4 == 0
    assert any(note.startswith("Very many: of the conversations one in 4") for note in notes(inspection))

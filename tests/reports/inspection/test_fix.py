"""Files that --fix writes, and its account of the changes."""

import random
from pathlib import Path

import pytest

from convmodel.data.conversation import ConversationReader, read_conversations
from convmodel.reports.inspection.fix import FixReport, SeenHashes, fix_files, output_paths
from convmodel.reports.inspection.inspect import Inspection
from tests.reports.inspection.helpers import Inspect, Write, changed, talk


def fix(inspection: Inspection, out: Path) -> list[FixReport]:
    return fix_files(inspection, str(out), progress=lambda _: lambda _: None)


def test_mended_files_have_no_problems_and_all_changes_are_reported(
    write: Write, inspect: Inspect, tmp_path: Path
) -> None:
    fine = {"turns": ["Hello", "Hi <b>you</b>"], "persona": ["I am Ann."], "id": 7}
    path = write(
        "data.jsonl",
        [
            fine,
            ["Fine, thanks", "cafÃ©"],
            ["So", "a\x07b\u200bc"],
            b"nothing",
            ["Lost", "\ufffd"],
            ["What?", "\u200b\x00"],
            ["So", "abc"],
            ["alone"],
            {"turns": ["a", "b"], "persona": ["far too long " * 30]},
            fine,
        ],
    )
    inspection = inspect(path, max_length=40)
    assert {f.kind for f in inspection.problems} == {
        *("unreadable", "duplicate", "long_persona", "replacement", "mojibake", "control", "hidden", "blank")
    }
    [report] = fix(inspection, tmp_path / "out.jsonl")
    assert [(c.turns, c.persona, c.meta) for c in read_conversations(tmp_path / "out.jsonl")] == [
        (("Hello", "Hi <b>you</b>"), ("I am Ann.",), {"id": 7}),
        (("Fine, thanks", "café"), (), None),
        (("So", "abc"), (), None),
    ]
    assert report.dropped == {"unreadable": 2, "replacement": 1, "blank": 1, "long_persona": 1, "duplicate": 2}
    assert report.mended == {"mojibake": 1, "control": 2, "hidden": 2}
    assert report.written + report.dropped.total() == 10
    account = "\n".join(report.lines())
    for part in ("3 conversations of", "2 dropped: could not be read", "1 text: mojibake undone"):
        assert part in account
    again = inspect(str(tmp_path / "out.jsonl"), max_length=40)
    assert again.problems == () and {f.kind for f in again.findings} == {"html"}


def test_the_first_of_several_files_keeps_shared_conversations(write: Write, inspect: Inspect, tmp_path: Path) -> None:
    source = random.Random(0)
    shared = talk(source, turns=6)
    alike = talk(source, turns=6)
    own = talk(source)
    train = write("train.jsonl", [shared, alike, talk(source)])
    test = write("test.jsonl.x", [own, shared, changed(random.Random(8), alike, 0.02)])
    reports = fix(inspect(train, test), tmp_path / "new")
    assert [Path(report.output).name for report in reports] == ["train.jsonl", "test.jsonl.jsonl"]
    assert reports[0].written == 3 and not reports[0].dropped
    assert reports[1].dropped == {"leak": 1, "near_leak": 1}
    assert [c.turns for c in read_conversations(reports[1].output)] == [tuple(own)]
    assert list(reports[0].lines())[1] == "  nothing dropped, nothing changed"
    assert not inspect(*(report.output for report in reports)).problems


def test_a_file_may_be_mended_in_place(write: Write, inspect: Inspect) -> None:
    path = write("data.jsonl", [["a", "b\x00"], ["c", "d"]])
    fix(inspect(path), Path(path))
    assert [c.turns for c in read_conversations(path)] == [("a", "b"), ("c", "d")]


def test_all_chunks_are_mended(write: Write, inspect: Inspect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convmodel.reports.inspection.chunks.CHUNK", 2)
    source = random.Random(3)
    lines = [[str(source.randint(0, 30)), "ok"] for _ in range(100)]
    [report] = fix(inspect(write("data.jsonl", lines)), tmp_path / "out")
    wanted = list(dict.fromkeys(map(tuple, lines)))
    assert [c.turns for c in read_conversations(tmp_path / "out")] == wanted
    assert report.dropped == {"duplicate": 100 - len(wanted)}


def test_seen_hashes_are_those_of_a_set() -> None:
    source = random.Random(1)
    seen = SeenHashes()
    wanted = set()
    for _ in range(60):
        new = {source.randint(-50, 50) * 2**56 for _ in range(source.randint(0, 5))}
        for value in range(-50, 51):
            assert (value * 2**56 in seen) == (value * 2**56 in wanted)
        seen.add(new)
        wanted |= new


def test_two_outputs_of_one_name_are_rejected() -> None:
    with pytest.raises(ValueError, match="two files would be written there"):
        output_paths(["a/x.csv", "b/x.jsonl.gz"], "out")
    assert output_paths(["a/x.csv"], "out") == ["out"]


def test_texts_without_a_finding_stay_as_they_are(write: Write, inspect: Inspect, tmp_path: Path) -> None:
    """ftfy alone would change such a text, which the inspection does not report as mojibake."""
    text = "\u00e9t\u00e9 \u0420\u045f\u0421\u0402\u0420\u0451\u0420\u0406\u0420\u00b5\u0421\u201a"
    path = write("data.jsonl", [["So", text]])
    inspection = inspect(path)
    assert not inspection.problems
    [report] = fix(inspection, tmp_path / "out.jsonl")
    assert [c.turns for c in read_conversations(tmp_path / "out.jsonl")] == [("So", text)]
    assert not report.mended and not report.dropped


def test_of_several_conversations_of_a_line_only_the_reported_ones_are_dropped(
    write: Write, inspect: Inspect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = random.Random(0)
    alike = talk(source, turns=6)
    own = talk(source)
    train = write("train.jsonl", [alike])
    test = write("test.jsonl", [own, changed(random.Random(8), alike, 0.02)])
    read = ConversationReader.with_line_numbers
    monkeypatch.setattr(ConversationReader, "with_line_numbers", lambda self: ((1, c) for _, c in read(self)))
    reports = fix(inspect(train, test), tmp_path / "new")
    assert reports[1].dropped == {"near_leak": 1}
    assert [c.turns for c in read_conversations(reports[1].output)] == [tuple(own)]


def test_names_of_speakers_are_kept_and_repeats_are_those_of_the_inspected_sides(
    write: Write, inspect: Inspect, tmp_path: Path
) -> None:
    group = {"turns": ["a", "b", "caf\u00c3\u00a9", "d"], "speakers": ["Ida", "Tom", "Eve", "Tom"], "id": 7}
    path = write("group.jsonl", [group, ["e", "f"], group])
    [report] = fix(inspect(path), tmp_path / "out.jsonl")
    mended = ("a", "b", "caf\u00e9", "d")
    group_read, pair = read_conversations(tmp_path / "out.jsonl")
    assert (group_read.turns, group_read.speakers) == (mended, ("Ida", "Tom", "Eve", "Tom")) and pair.speakers is None
    assert report.dropped == {"duplicate": 1} and report.mended == {"mojibake": 2}

"""The scan of one file."""

from pathlib import Path

from tests.reports.inspection.helpers import Inspect, Write, findings_of


def test_unreadable_lines_are_problems_with_reasons(write: Write, inspect: Inspect) -> None:
    path = write("data.jsonl", [["a", "b"], b'["a", ', ["alone"], b"", b'["\xff", "b"]', {"turns": ["a", ""]}])
    [finding] = findings_of(inspect(path), "unreadable")
    assert (finding.count, finding.total) == (4, 5)
    assert [example.location for example in finding.examples] == [f"{path}:{n}" for n in (2, 3, 5, 6)]
    assert "not JSON" in finding.examples[0].text and "only one turn" in finding.examples[1].text


def test_rows_of_other_formats_have_line_numbers_too(write: Write, inspect: Inspect) -> None:
    path = write("data.csv", [b"context,response", b'"Hello', b'you",Hi', b"What,caf\xef\xbf\xbd"])
    [finding] = findings_of(inspect(path), "replacement")
    assert finding.examples[0].location == f"{path}:4"


def test_files_that_are_passed_over_are_remarks(tmp_path: Path, write: Write, inspect: Inspect) -> None:
    write("data.jsonl", [["a", "b"]])
    write("readme.txt", [b"Once upon a time."])
    [finding] = findings_of(inspect(str(tmp_path)), "other_file")
    assert (finding.count, finding.total) == (1, 2)
    assert finding.examples[0].location == f"{tmp_path}/readme.txt:1"
    assert finding.examples[0].text.startswith("the format cannot be recognised")

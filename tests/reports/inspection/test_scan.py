"""The scan of one file."""

from tests.reports.inspection.conftest import Inspect, Write, found


def test_lines_that_cannot_be_read_are_problems_with_their_reasons(write: Write, inspect: Inspect) -> None:
    path = write("data.jsonl", [["a", "b"], b'["a", ', ["alone"], b"", b'["\xff", "b"]', {"turns": ["a", ""]}])
    [finding] = [each for each in inspect(path).findings if each.kind == "unreadable"]
    assert (finding.count, finding.total) == (4, 5)
    assert [example.location for example in finding.examples] == [f"{path}:{n}" for n in (2, 3, 5, 6)]
    assert "not JSON" in finding.examples[0].text and "only one turn" in finding.examples[1].text


def test_rows_of_other_formats_have_their_lines_too(write: Write, inspect: Inspect) -> None:
    path = write("data.csv", [b"context,response", b'"Hello', b'you",Hi', b"What,caf\xef\xbf\xbd"])
    [finding] = found(inspect(path), "replacement")
    assert finding.examples[0].location == f"{path}:4"

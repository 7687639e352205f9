"""The people and times of chat exports, and whether there is enough to learn from."""

from pathlib import Path

import numpy as np
import pytest

from convmodel.data.conversation import Conversation
from convmodel.data.data_file import Notes
from convmodel.data.options import ReadOptions
from convmodel.reports.inspection.chunks import Chunk
from convmodel.reports.inspection.exports import (
    ExportReport,
    ExportTally,
    describe_amount,
    people_table,
    period_table,
)
from convmodel.reports.inspection.inspect import inspect_files
from convmodel.reports.inspection.page import render
from convmodel.reports.inspection.settings import InspectionSettings

CHAT = """01/05/2024, 10:00 - Ida: Are you there?
01/05/2024, 10:01 - Bo: Yes
01/05/2024, 10:02 - Bo: Really
14/06/2024, 10:00 - Bo: Hello
14/06/2024, 10:01 - Ida: Hi
"""


def test_replies_are_the_turns_of_the_last_speaker_that_follow_another(tmp_path: Path) -> None:
    turns = [("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d")]
    times: list[object] = ["2024-05-01T10:00:00", "2024-06-01", 5]
    chunk = Chunk(
        [Conversation(each, meta={"time": time}) for each, time in zip(turns, times, strict=True)], np.arange(1, 4)
    )
    tally = ExportTally()
    tally.add(chunk)
    assert tally.report(Notes()) == ExportReport(4, (), (("2024-05", 1), ("2024-06", 1)))


def test_many_months_are_counted_as_years() -> None:
    months = tuple((f"{year}-{month:02}", 1) for year in (2022, 2023, 2024) for month in range(1, 13))
    assert ExportReport(0, (), months).periods() == [("2022", 12), ("2023", 12), ("2024", 12)]


def test_people_beyond_the_tenth_are_one_row_and_files_are_groups() -> None:
    report = ExportReport(0, tuple((f"P{n}", 10, 50) for n in range(12)), (("2024-05", 1),))
    assert people_table([("a", report)]).rows[-1] == ("2 others", "20", "16.7%", "5")
    assert people_table([("a", report), ("b", report)]).rows[0] == ("a",)
    assert period_table([("a", report)]).rows == (("2024-05", "1"),)


@pytest.mark.parametrize(("count", "told"), [(200, "too few"), (2_000, "fine-tune"), (20_000, "from scratch")])
def test_the_number_of_conversations_tells_what_it_is_enough_for(count: int, told: str) -> None:
    text = describe_amount("a.jsonl", count, ExportReport(1, (), ()))
    assert text.startswith(f"a.jsonl: {count:,} conversations with 1 reply to learn from; ") and told in text


def test_an_export_says_who_speaks_and_when(tmp_path: Path) -> None:
    (tmp_path / "chat.txt").write_text(CHAT)
    source = str(tmp_path / "chat.txt")
    inspection = inspect_files([source], InspectionSettings(), ReadOptions(me="Ida"), progress=lambda _: lambda _: None)
    assert inspection.files[0].export == ExportReport(1, (("Bo", 3, 14), ("Ida", 2, 16)), (("2024-06", 1),))
    page = render(inspection)
    assert "Who speaks" in page and "Conversations over time" in page and "1 conversation with 1 reply" in page

"""Tables and histograms, against laying every conversation out."""

import random
import re

import pytest

from convmodel.reports.inspection.inspect import Inspection, short_names
from convmodel.reports.inspection.tables import Bar, conversation_bars, file_table, turn_bars
from tests.reports.inspection.helpers import Inspect, Write, talk


def bounds(bar: Bar) -> tuple[int, float]:
    """The first and the last length of a bar, from its name."""
    numbers = [int(digits) for digits in re.findall(r"\d+", bar.name)]
    if bar.name.startswith(">"):
        return numbers[0] + 1, float("inf")
    return numbers[0], numbers[-1]


def laid_out(inspection: Inspection, conversations: list[list[str]]) -> list[int]:
    """The tokens of each conversation."""
    return [len(inspection.ruler.tokenizer(turns)["input_ids"]) for turns in conversations]


@pytest.mark.parametrize("window", [50, 64, 2000])
def test_every_bar_holds_what_lies_between_its_bounds(window: int, write: Write, inspect: Inspect) -> None:
    source = random.Random(window)
    files = [[talk(source) for _ in range(60)] for _ in range(2)]
    inspection = inspect(*(write(f"f{n}", lines) for n, lines in enumerate(files)), max_length=window)
    said = [conversation for lines in files for conversation in lines]
    lengths = laid_out(inspection, said)
    bars = conversation_bars(inspection.files, window)
    assert sum(bar.count for bar in bars) == len(lengths)
    for bar in bars:
        low, high = bounds(bar)
        assert bar.count == sum(low <= length <= high for length in lengths)
        assert bar.beyond == (low > window)
    turns = [len(inspection.ruler.tokenizer.encode(turn)) for conversation in said for turn in conversation]
    for bar in turn_bars(inspection.files, window):
        low, high = bounds(bar)
        assert bar.count == sum(low <= length <= high for length in turns)


def test_the_table_says_what_a_loop_over_the_file_finds(write: Write, inspect: Inspect) -> None:
    source = random.Random(0)
    said = [talk(source) for _ in range(50)]
    inspection = inspect(write("data", said), max_length=64)
    cells = {str(row[0]).strip(): str(row[1]) for row in file_table(inspection).rows}
    lengths = laid_out(inspection, said)
    assert cells["conversations"] == "50" and cells["with a persona"] == "0"
    assert cells["turns"] == str(sum(map(len, said)))
    assert cells["characters"] == f"{sum(len(turn) for turns in said for turn in turns):,}"
    assert cells["tokens"] == f"{sum(lengths):,}"
    assert cells["longer than 64"] == f"{100 * sum(length > 64 for length in lengths) / 50:.1f}%"
    assert int(cells["windows"]) > 50


def test_files_of_one_name_are_distinguished_by_their_paths() -> None:
    assert short_names(["a/x", "b/x", "c/y", "hub://org/z?column=d"]) == {
        "a/x": "a/x",
        "b/x": "b/x",
        "c/y": "y",
        "hub://org/z?column=d": "z",
    }

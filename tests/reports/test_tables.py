"""Tables on a terminal."""

import io

from rich.console import Console

from convmodel.reports.tables import Cell, Table, column_groups, console_grid


def test_rows_of_a_group_are_indented_below_its_heading() -> None:
    table = Table(("", "model"), (("Family",), (Cell("metric", detail="on the page only"), Cell("1.5", "strong"))))
    console = Console(file=io.StringIO(), width=40)
    console.print(console_grid(table))
    assert isinstance(console.file, io.StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert lines == ["         model", "Family", "  metric   1.5"]


def test_columns_are_grouped_to_fit_the_width() -> None:
    table = Table(("", "a", "b", "c"), (("name", "1", "22", "333"),))
    assert [part.header for part in column_groups(table, 13)] == [("", "a", "b"), ("", "c")]
    assert [part.rows for part in column_groups(table, 1)] == [(("name", cell),) for cell in ("1", "22", "333")]

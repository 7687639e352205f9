"""A report in, tables for a terminal out; plain where nobody looks at colours."""

from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convmodel.reports.evaluation.comparison import Comparison
from convmodel.reports.evaluation.formatting import ARROWS, METHOD, bounds, columns, compared_with, legend, number
from convmodel.reports.evaluation.report import Report


def show(report: Report, comparison: Comparison | None, console: Console) -> None:
    """Prints the numbers, the signatures, the comparison and the notes."""
    console.print(Text(f"{report.model['source']} on {report.data['source']}", style="bold"))
    console.print(Text(report.summary))
    console.print(_numbers(report))
    console.print(Text(legend(report), style="dim"))
    for name, signature in report.signatures.items():
        console.print(Text(f"{name}: {signature}", style="dim"), soft_wrap=True)
    for note in report.notes:
        console.print(Text(f"note: {note}", style="yellow"))
    if comparison is not None:
        console.print()
        console.print(Text(compared_with(comparison), style="bold"))
        console.print(_compared(comparison))


def _numbers(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("", no_wrap=True)
    headings = columns(report)
    for name in headings:
        table.add_column(name, justify="right", no_wrap=True)
    for number_of, (family, metrics) in enumerate(groupby(report.metrics, key=lambda metric: metric.family)):
        if number_of:
            table.add_row()
        table.add_row(Text(family, style="dim"))
        for one in metrics:
            cells = ["" if one.gold is None else number(one.gold)] if len(headings) > 2 else []
            name = f"  {one.name} {ARROWS[one.better]}"
            table.add_row(name, Text(number(one.value), style="bold"), bounds(one.low, one.high), *cells)
    return table


def _compared(comparison: Comparison) -> Table:
    styles = {"better": "green", "worse": "red", "higher": "bold", "lower": "bold"}
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        padding=(0, 1, 0, 0),
        caption=METHOD.format(resamples=comparison.resamples),
        caption_justify="left",
    )
    table.add_column("", no_wrap=True)
    for name in ("this", "other", f"difference, {100 * comparison.confidence:g} %", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict")
    for one in comparison.differences:
        table.add_row(
            *(one.name, number(one.value), number(one.other), bounds(one.low, one.high), number(one.p)),
            Text(one.verdict, style=styles.get(one.verdict, "dim")),
        )
    return table

"""Print an evaluation report on a terminal, in at most 80 columns; plain text where there are no colours."""

from rich.console import Console
from rich.text import Text

from convmodel.reports.evaluation.comparison import Comparison
from convmodel.reports.evaluation.report import EvaluationReport
from convmodel.reports.evaluation.tables import (
    comparison_method,
    comparison_table,
    comparison_title,
    legend,
    metric_table,
    report_title,
)
from convmodel.reports.terminal import STYLES, console_grid


def show(report: EvaluationReport, comparison: Comparison | None, console: Console) -> None:
    """Print the numbers, the signatures, the notes and the comparison."""
    console.print(Text(report_title(report), style=STYLES["strong"]))
    console.print(Text(report.summary))
    console.print()
    console.print(console_grid(metric_table(report), gap=2))
    console.print(Text(legend(report), style=STYLES["muted"]))
    for name, signature in report.signatures.items():
        console.print(Text(f"{name}: {signature}", style=STYLES["muted"]), soft_wrap=True)
    for note in report.notes:
        console.print(Text(f"note: {note}", style=STYLES["note"]))
    if comparison is not None:
        console.print()
        console.print(Text(comparison_title(comparison), style=STYLES["strong"]))
        console.print(console_grid(comparison_table(comparison, brief=True), wrap=False))
        console.print(Text(comparison_method(comparison), style=STYLES["muted"]))

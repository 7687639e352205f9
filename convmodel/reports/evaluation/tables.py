"""Tables and sentences of the evaluation report, for the terminal and the page."""

from itertools import groupby

from convmodel.reports.evaluation.comparison import Comparison
from convmodel.reports.evaluation.formatting import ARROWS, LEGEND, bounds, number, percent_interval, signed
from convmodel.reports.evaluation.report import EvaluationReport
from convmodel.reports.tables import Cell, Table


def report_title(report: EvaluationReport) -> str:
    """Return the title of a report: the model and the data."""
    return f"{report.model['source']} on {report.data['source']}"


def legend(report: EvaluationReport) -> str:
    """Explain the arrows that occur in a report."""
    used = {metric.better for metric in report.metrics}
    return ", ".join(meaning for better, meaning in LEGEND.items() if better in used)


def metric_table(report: EvaluationReport) -> Table:
    """Return all metrics by family; the last column exists only where gold texts have numbers too."""
    has_gold = any(metric.gold is not None for metric in report.metrics)
    rows: list[tuple[str | Cell, ...]] = []
    for family, metrics in groupby(report.metrics, key=lambda metric: metric.family):
        rows.append((family,))
        for metric in metrics:
            gold = "" if metric.gold is None else number(metric.gold)
            rows.append(
                (
                    Cell(f"{metric.name} {ARROWS[metric.better]}", detail=metric.meaning),
                    Cell(number(metric.value), "strong"),
                    bounds(metric.low, metric.high),
                    *((gold,) if has_gold else ()),
                )
            )
    interval = percent_interval(report.options["confidence"])
    return Table(("", "model", interval, *(("gold",) if has_gold else ())), tuple(rows))


def comparison_title(comparison: Comparison) -> str:
    """Return the heading above a comparison: the other model and its report."""
    return f"Compared with {comparison.other['source']} ({comparison.other['report']})"


def comparison_method(comparison: Comparison) -> str:
    """Describe how the verdicts were computed."""
    return (
        f"Paired bootstrap, {comparison.resamples:,} resamples; the interval is that of the difference, and p is "
        "adjusted for the number of metrics (Holm)."
    )


def comparison_table(comparison: Comparison, *, brief: bool = False) -> Table:
    """Return the differences, metric by metric; a brief table has no column for the difference itself."""
    rows = []
    for difference in comparison.differences:
        value = () if brief else (signed(difference.difference),)
        rows.append(
            (
                difference.name,
                number(difference.value),
                number(difference.other),
                *value,
                bounds(difference.low, difference.high),
                number(difference.p),
                Cell(difference.verdict, difference.verdict.replace(" ", "-")),
            )
        )
    interval = percent_interval(comparison.confidence)
    header = ("", "this", "other", *(() if brief else ("difference",)), interval, "p", "verdict")
    return Table(header, tuple(rows))

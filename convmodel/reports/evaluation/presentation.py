"""Print an evaluation report in at most 80 columns, and render it as a self-contained HTML page."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.text import Text

from convmodel.data.reader import format_count
from convmodel.reports.evaluation.comparison import Comparison
from convmodel.reports.evaluation.report import EvaluationReport
from convmodel.reports.evaluation.task import Card
from convmodel.reports.html_page import render_page
from convmodel.reports.plots import Curve, Histogram, curve_svg, histogram_svg
from convmodel.reports.tables import STYLES, Cell, Table, console_grid

MAX_CARDS = 10
"""Maximum number of best examples on the page, and of worst examples."""

MAX_TURNS = 6
"""Maximum number of turns of a context that are shown; older turns are collapsed."""

CURVE_SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Horizontal coordinates at which a curve is printed."""

ARROWS = {"higher": "↑", "lower": "↓", "nearer": "≈"}
"""Symbol after the name of a metric, by the direction in which the metric improves."""


def show(report: EvaluationReport, comparison: Comparison | None, console: Console) -> None:
    """Print the metrics, signatures, notes and comparison of a report."""
    console.print(Text(report_title(report), style=STYLES["strong"]))
    console.print(Text(report.summary))
    console.print()
    console.print(console_grid(metric_table(report), gap=2))
    console.print(Text(legend(report), style=STYLES["muted"]))
    for title, series in report.curves.items():
        console.print()
        console.print(console_grid(curve_table(title, series), gap=2))
    for name, signature in report.signatures.items():
        console.print(Text(f"{name}: {signature}", style=STYLES["muted"]), soft_wrap=True)
    for note in report.notes:
        console.print(Text(f"note: {note}", style=STYLES["note"]))
    if comparison is not None:
        console.print()
        console.print(Text(comparison_title(comparison), style=STYLES["strong"]))
        console.print(console_grid(comparison_table(comparison, brief=True), wrap=False))
        console.print(Text(comparison_method(comparison), style=STYLES["muted"]))


def render(
    report: EvaluationReport,
    comparison: Comparison | None,
    *,
    histograms: Sequence[Histogram],
    curves: Sequence[Curve] = (),
    ranked_cards: Sequence[Card],
    card_headings: tuple[str, str],
) -> str:
    """Return the HTML page of a report.

    Args:
        report: the report.
        comparison: comparison with another model, or None.
        histograms: histograms to draw.
        curves: curves to draw, before the histograms.
        ranked_cards: all examples, best first. The page shows the first and the last ones.
        card_headings: headings above the best and the worst examples.
    """
    shown = min(MAX_CARDS, (len(ranked_cards) + 1) // 2)
    best = ranked_cards[:shown]
    worst = ranked_cards[::-1][: min(shown, len(ranked_cards) - shown)]  # no example is on both sides
    compared = None
    if comparison is not None:
        compared = {
            "title": comparison_title(comparison),
            "table": comparison_table(comparison),
            "method": comparison_method(comparison),
        }
    return render_page(
        "evaluation.html",
        title=report_title(report),
        report=report,
        metrics=metric_table(report),
        legend=legend(report),
        comparison=compared,
        plots=[
            *((curve.title, curve_svg(curve)) for curve in curves),
            *((histogram.title, histogram_svg(histogram)) for histogram in histograms),
        ],
        sides=zip(card_headings, (best, worst), strict=True),
        origin=_origin(report),
        count=format_count,
        max_turns=MAX_TURNS,
    )


def _origin(report: EvaluationReport) -> dict[str, Any]:
    """Return all settings on which the numbers depend, by heading."""
    used = {name: values for name, values in report.used.items() if isinstance(values, dict)}
    given = {"model": report.model, "data": report.data, "options": report.options}
    return {**given, **used, "signatures": report.signatures, "versions": report.versions}


def report_title(report: EvaluationReport) -> str:
    """Return the title of a report: the model and the data."""
    return f"{report.model['source']} on {report.data['source']}"


def legend(report: EvaluationReport) -> str:
    """Return an explanation of the symbols of `ARROWS` that occur in a report."""
    used = {metric.better for metric in report.metrics}
    meanings = {"higher": "higher is better", "lower": "lower is better", "nearer": "nearer to gold is better"}
    return ", ".join(f"{ARROWS[better]} {meaning}" for better, meaning in meanings.items() if better in used)


def metric_table(report: EvaluationReport) -> Table:
    """Return a table of all metrics, grouped by family. It has a column "gold" if a metric has a gold value."""
    has_gold = any(metric.gold is not None for metric in report.metrics)
    rows: list[tuple[str | Cell, ...]] = []
    for family, metrics in groupby(report.metrics, key=lambda metric: metric.family):
        rows.append((family,))
        for metric in metrics:
            name = Cell(f"{metric.name} {ARROWS[metric.better]}", detail=metric.meaning)
            gold = "" if metric.gold is None else number(metric.gold)
            row = (name, Cell(number(metric.value), "strong"), bounds(metric.low, metric.high))
            rows.append((*row, gold) if has_gold else row)
    header = ("", "model", _interval(report.options["confidence"]))
    return Table((*header, "gold") if has_gold else header, tuple(rows))


def curve_table(title: str, series: Mapping[str, Sequence[Sequence[float]]]) -> Table:
    """Return a table of a curve's values, at each of `CURVE_SHARES` that is nearest to a point."""
    header = (title, *(f"{share:.0%}" for share in CURVE_SHARES))
    rows = []
    for name, points in series.items():
        nearest = [min(points, key=lambda point: abs(point[0] - share)) for share in CURVE_SHARES]
        rows.append((name, *(f"{value:.1%}" for _, value in nearest)))
    return Table(header, tuple(rows))


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
    """Return a table of the differences of all metrics; with `brief`, without the column "difference"."""
    columns = {
        "": [row.name for row in comparison.differences],
        "this": [number(row.value) for row in comparison.differences],
        "other": [number(row.other) for row in comparison.differences],
        "difference": [signed(row.difference) for row in comparison.differences],
        _interval(comparison.confidence): [bounds(row.low, row.high) for row in comparison.differences],
        "p": [number(row.p) for row in comparison.differences],
        "verdict": [Cell(row.verdict, row.verdict.replace(" ", "-")) for row in comparison.differences],
    }
    if brief:
        del columns["difference"]
    return Table(tuple(columns), tuple(zip(*columns.values(), strict=True)))


def number(value: float | None) -> str:
    """Format a number with three to five significant digits; a dash for None."""
    if value is None:
        return "–"
    size = abs(value)
    if size >= 1e6:
        return f"{value:.1e}"
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 10 else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Format a difference: like `number`, with a sign."""
    if value is None:
        return "–"
    if value == 0:
        return "±" + number(value)
    return ("+" if value > 0 else "−") + number(abs(value))


def bounds(low: float | None, high: float | None) -> str:
    """Format an interval: `−0.120 to 0.340`."""
    if low is None and high is None:
        return "–"
    return f"{signed(low).lstrip('+±')} to {signed(high).lstrip('+±')}"


def _interval(confidence: float) -> str:
    return f"{100 * confidence:g} % interval"

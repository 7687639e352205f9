"""Render an evaluation report as a self-contained HTML page."""

from collections.abc import Sequence
from typing import Any

from convmodel.data.reader import format_count
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
from convmodel.reports.evaluation.task import Card
from convmodel.reports.html_page import render_page
from convmodel.reports.plots import Histogram, histogram_svg

MAX_CARDS = 10
"""Maximum number of best examples, and of worst ones, on the page."""

MAX_TURNS = 6
"""Maximum number of turns of a context that are shown; older ones are folded."""


def render(
    report: EvaluationReport,
    comparison: Comparison | None,
    *,
    histograms: Sequence[Histogram],
    ranked_cards: Sequence[Card],
    card_headings: tuple[str, str],
) -> str:
    """Return the page of a report as text.

    Args:
        report: the numbers.
        comparison: the comparison with another model, if there is one.
        histograms: distributions to draw.
        ranked_cards: all examples, best first.
        card_headings: headings above the best and the worst of them.
    """
    shown = min(MAX_CARDS, (len(ranked_cards) + 1) // 2)
    best = ranked_cards[:shown]
    worst = ranked_cards[::-1][: min(shown, len(ranked_cards) - shown)]  # no example is on both sides
    return render_page(
        "evaluation.html",
        title=report_title(report),
        report=report,
        metrics=metric_table(report),
        legend=legend(report),
        comparison=None if comparison is None else _comparison(comparison),
        plots=[(histogram.title, histogram_svg(histogram)) for histogram in histograms],
        sides=zip(card_headings, (best, worst), strict=True),
        origin=_origin(report),
        count=format_count,
        max_turns=MAX_TURNS,
    )


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "title": comparison_title(comparison),
        "table": comparison_table(comparison),
        "method": comparison_method(comparison),
    }


def _origin(report: EvaluationReport) -> dict[str, Any]:
    """Return everything that the numbers depend on, by heading."""
    return {
        "model": report.model,
        "data": report.data,
        "options": report.options,
        **{name: values for name, values in report.used.items() if isinstance(values, dict)},
        "signatures": report.signatures,
        "versions": report.versions,
    }

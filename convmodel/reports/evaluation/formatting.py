"""Numbers of a report in, how they are written for people out."""

from convmodel.reports.evaluation.comparison import Comparison
from convmodel.reports.evaluation.report import Report

ARROWS = {"higher": "↑", "lower": "↓", "nearer": "≈"}
"""Which numbers are better."""

LEGEND = {
    "higher": "↑ higher is better",
    "lower": "↓ lower is better",
    "nearer": "≈ nearer to gold is better",
}

METHOD = "Paired bootstrap, {resamples:,} resamples; p is adjusted for the number of metrics (Holm)."
"""How verdicts come about."""


def legend(report: Report) -> str:
    """What the arrows of a report mean."""
    used = {metric.better for metric in report.metrics}
    return ", ".join(meaning for better, meaning in LEGEND.items() if better in used)


def columns(report: Report) -> list[str]:
    """The headings above the numbers, the last of which stands only where gold texts have numbers too."""
    level = f"{100 * report.options['confidence']:g} % interval"
    golds = any(metric.gold is not None for metric in report.metrics)
    return ["model", level, *(["gold"] if golds else [])]


def number(value: float | None) -> str:
    """Three or four digits that say something; a dash for what is no number."""
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
    """The same with its sign."""
    if value is None:
        return "–"
    return ("+" if value > 0 else "−" if value < 0 else "±") + number(abs(value))


def bounds(low: float | None, high: float | None) -> str:
    """An interval."""
    return "–" if low is None and high is None else f"{_minus(low)} to {_minus(high)}"


def compared_with(comparison: Comparison) -> str:
    """A heading."""
    return f"Compared with {comparison.other['source']} ({comparison.other['report']})"


def _minus(value: float | None) -> str:
    return "–" if value is None else ("−" if value < 0 else "") + number(abs(value))

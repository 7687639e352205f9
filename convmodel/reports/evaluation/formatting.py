"""Number formats of the evaluation report, for the terminal and the page."""

ARROWS = {"higher": "↑", "lower": "↓", "nearer": "≈"}
"""The symbol after a metric's name, by the direction in which the metric improves."""

LEGEND = {
    "higher": "↑ higher is better",
    "lower": "↓ lower is better",
    "nearer": "≈ nearer to gold is better",
}


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
    return "–" if low is None and high is None else f"{_with_minus(low)} to {_with_minus(high)}"


def percent_interval(confidence: float) -> str:
    """Return the heading of a column of intervals: `95 % interval`."""
    return f"{100 * confidence:g} % interval"


def _with_minus(value: float | None) -> str:
    return "–" if value is None else ("−" if value < 0 else "") + number(abs(value))

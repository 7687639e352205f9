"""Histograms and curves as inline SVG, whose colours are variables of the page's light or dark style sheet."""

import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convmodel.metrics.words import words

# Placeholders that matplotlib accepts as colours. In the SVG they are replaced by variables of the style sheet.
INK = "#010203"
FAINT = "#040506"
SERIES = ("#070809", "#0a0b0c", "#0d0e0f", "#101112", "#131415", "#161718")
NAMES = ("--ink", "--faint", "--model", "--gold", "--series-3", "--series-4", "--series-5", "--series-6")
VARIABLES = dict(zip((INK, FAINT, *SERIES), NAMES, strict=True))

STYLE: Any = {
    "svg.fonttype": "none",  # texts remain texts, in the page's font
    "svg.hashsalt": "convmodel",  # makes ids deterministic, so that equal values give equal SVG
    "font.size": 10,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), FAINT),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
}


@dataclass(frozen=True)
class Histogram:
    """Histogram of one or more series of values.

    Args:
        title: title of the figure.
        label: label of the horizontal axis.
        series: values by the name of the series.
        bins: number of equal bins; None for integer values, whose bins are centred on integers.
    """

    title: str
    label: str
    series: Mapping[str, Sequence[float]]
    bins: int | None = 25


@dataclass(frozen=True)
class Curve:
    """Lines through points, all of whose coordinates are shares from 0 to 1.

    Args:
        title: title of the figure.
        labels: labels of the horizontal and the vertical axis.
        series: points from left to right, by the name of the series.
    """

    title: str
    labels: tuple[str, str]
    series: Mapping[str, Sequence[tuple[float, float]]]


def length_histogram(label: str, texts: Sequence[str], gold: Sequence[str]) -> Histogram:
    """Return a histogram of the numbers of words of the model's texts and of the gold texts."""
    series = {"model": [len(words(text)) for text in texts], "gold": [len(words(text)) for text in gold]}
    return Histogram("Length", label, series, bins=None)


def histogram_svg(histogram: Histogram) -> str:
    """Return a histogram as SVG, drawn by `shares_svg`. Values that are not finite are left out."""
    edges = bin_edges(histogram.series, histogram.bins)
    shares = {}
    for name, values in histogram.series.items():
        finite = [value for value in values if math.isfinite(value)]
        shares[name] = np.histogram(finite, edges)[0] / max(len(finite), 1)
    return shares_svg(histogram.title, edges, shares, label=histogram.label, integers=histogram.bins is None)


def curve_svg(curve: Curve) -> str:
    """Draw a curve, and return it as an `<svg>` element; see `shares_svg`."""
    with rc_context(STYLE):
        figure = Figure(figsize=(4.2, 2.5), layout="constrained")
        axes = figure.subplots()
        for index, (name, points) in enumerate(curve.series.items()):
            axes.plot(*zip(*points, strict=True), color=SERIES[index % len(SERIES)], linewidth=1.6, label=name)
        axes.set(xlabel=curve.labels[0], ylabel=curve.labels[1], xlim=(0, 1.01), ylim=(0, 1.03))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_percent)
        axes.legend(frameon=False, loc="best")
        return _svg(figure, curve.title)


def bin_edges(series: Mapping[str, Sequence[float]], bins: int | None) -> np.ndarray:
    """Return the edges of bins that contain all values. If `bins` is None, edges are halfway between integers."""
    values = np.array([value for of_series in series.values() for value in of_series if math.isfinite(value)])
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    if bins is not None:
        return np.linspace(low, high if high > low else low + 1.0, bins + 1)
    step = max(1, math.ceil((high - low + 1) / 40))
    count = round(high - low) + 1
    # Prefer a width that makes the last bin as wide as the others.
    step = next((wider for wider in range(step, 2 * step) if count % wider == 0), step)
    return np.arange(low - 0.5, high + step + 0.5, step)


def shares_svg(
    title: str,
    edges: Sequence[float] | np.ndarray,
    series: Mapping[str, np.ndarray],
    *,
    label: str,
    mark: tuple[str, float] | None = None,
    integers: bool = False,
) -> str:
    """Draw a histogram of shares, and return it as an `<svg>` element without width and height.

    Equal arguments give equal text.

    Args:
        title: name of the figure for screen readers; the page prints it as the caption.
        edges: (N + 1,) edges of the bins.
        series: (N,) shares of the values in each bin, by the name of the series. The first series is filled.
        label: label of the horizontal axis.
        mark: name and position of a vertical line, or None.
        integers: whether the ticks of the horizontal axis are integers.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(4.2, 2.5), layout="constrained")
        axes = figure.subplots()
        _draw(axes, edges, series, mark)
        axes.set_xlabel(label)
        axes.locator_params(axis="x", integer=integers)
        return _svg(figure, title)


def _svg(figure: Figure, title: str) -> str:
    document = io.StringIO()
    figure.savefig(document, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(document.getvalue(), title)


def _percent(share: float, _: object) -> str:
    return f"{100 * share:.3g} %"


def _draw(
    axes: Axes,
    edges: Sequence[float] | np.ndarray,
    series: Mapping[str, np.ndarray],
    mark: tuple[str, float] | None,
) -> None:
    for index, (name, shares) in enumerate(series.items()):
        # Matplotlib reads text between dollar signs as a formula, and hides legend entries with a leading underscore.
        label = name.replace("$", r"\$").removeprefix("_")
        style: dict[str, Any] = {"color": SERIES[index % len(SERIES)], "label": label}
        if index == 0:
            axes.stairs(shares, edges, fill=True, alpha=0.45, **style)
        else:
            dashes = "solid" if index < len(SERIES) else "dashed"
            axes.stairs(shares, edges, linewidth=1.6, linestyle=dashes, **style)
    if mark is not None:
        axes.axvline(mark[1], color=INK, linestyle="dotted", label=mark[0])
    axes.yaxis.set_major_formatter(_percent)
    axes.locator_params(axis="y", nbins=4)
    if len(series) > 1 or mark is not None:
        axes.legend(frameon=False)


def _inline(document: str, title: str) -> str:
    """Return the `<svg>` element of an SVG document, with the page's colours and `title` for screen readers."""
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    for size in ("width", "height"):
        element = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", element, count=1)
    element = element.replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1)
    for placeholder, variable in VARIABLES.items():
        element = element.replace(placeholder, f"var({variable})")
    prefix = re.sub(r"\W+", "-", title.lower())
    for name in sorted(set(re.findall(r'\bid="([^"]+)"', element))):  # ids must be unique on the whole page
        element = re.sub(rf'(id="|href="#|url\(#){re.escape(name)}(["\)])', rf"\1{prefix}-{name}\2", element)
    return element

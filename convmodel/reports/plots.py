"""Values in, small histograms as inline SVG out; their colours are the page's, light or dark."""

import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from convmodel.reports.evaluation.task import Histogram
    from convmodel.reports.inspection.lengths import Lengths

# Stand-ins that matplotlib takes for colours; in the SVG they become the page's own.
INK, FAINT, MODEL, GOLD = "#010203", "#040506", "#070809", "#0a0b0c"
COLOURS = {INK: "var(--ink)", FAINT: "var(--faint)", MODEL: "var(--model)", GOLD: "var(--gold)"}

STYLE: Any = {
    "svg.fonttype": "none",  # texts stay texts, in the page's font
    "svg.hashsalt": "convmodel",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def svg(histogram: "Histogram") -> str:
    """An `<svg>` element without size, to be scaled by the page; the same values give the same text."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.2, 2.5), layout="constrained")
        axes = figure.subplots()
        _draw(axes, histogram)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(text.getvalue(), histogram.title)


def edges(series: Mapping[str, Sequence[float]], bins: int | None) -> np.ndarray:
    """The edges of bins that hold all values; at half numbers, around whole ones, when `bins` is None."""
    values = np.array([value for each in series.values() for value in each if math.isfinite(value)])
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    if bins is not None:
        return np.linspace(low, high if high > low else low + 1.0, bins + 1)
    step, count = max(1, math.ceil((high - low + 1) / 40)), round(high - low) + 1
    # The last bin is as wide as the others where that can be had.
    step = next((wider for wider in range(step, 2 * step) if count % wider == 0), step)
    return np.arange(low - 0.5, high + step + 0.5, step)


def _draw(axes: Axes, histogram: "Histogram") -> None:
    at = edges(histogram.series, histogram.bins)
    for place, (name, values) in enumerate(histogram.series.items()):
        known = [value for value in values if math.isfinite(value)]
        shares = np.histogram(known, at)[0] / max(len(known), 1)
        if place == 0:
            axes.stairs(shares, at, fill=True, color=MODEL, alpha=0.45, label=name)
        else:
            axes.stairs(shares, at, color=GOLD, linewidth=1.6, label=name)
    axes.set_xlabel(histogram.label)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    axes.locator_params(axis="y", nbins=4)
    axes.spines[["top", "right"]].set_visible(False)
    if len(histogram.series) > 1:
        axes.legend(frameon=False)


def _inline(document: str, title: str) -> str:
    """The `<svg>` of a document, with the page's colours and a name for those who cannot see it."""
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", element, count=1)
    element = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", element, count=1)
    element = element.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
    for stand_in, colour in COLOURS.items():
        element = element.replace(stand_in, colour)
    names = set(re.findall(r'id="([^"]+)"', element))
    prefix = re.sub(r"\W+", "-", title.lower())
    for name in sorted(names):  # ids are those of the whole page
        element = re.sub(rf'(id="|href="#|url\(#){re.escape(name)}(["\)])', rf"\1{prefix}-{name}\2", element)
    return element


STEPS = 60
"""Bins of a picture's histogram."""

_COLOURS = ("#1f5fa8", "#c2571a", "#2e7d4f", "#8a3fa0", "#7a6a10", "#b0305c")
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "convmodel",  # the same picture, byte for byte, in every run
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def length_picture(title: str, files: Sequence[tuple[str, "Lengths"]], *, window: int | None = None) -> str:
    """How long conversations or turns are, a line for each file.

    Args:
        title: stands above; with it goes a screen reader's text.
        files: name and lengths of each.
        window: marked by a vertical line.

    Returns:
        An `<svg>` element.
    """
    with rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        axes = figure.subplots()
        _draw_lengths(axes, files, window)
        axes.set_title(title, loc="left")
        axes.set_xlabel("tokens")
        axes.set_ylabel("share")
        return _svg(figure, title)


def _draw_lengths(axes: Any, files: Sequence[tuple[str, "Lengths"]], window: int | None) -> None:
    most = max([lengths.quantile(0.995) for _, lengths in files] + [window + window // 8 if window else 1, 8])
    edges = list(range(1, most + 2, -(-most // STEPS)))
    for number, (name, lengths) in enumerate(files):
        shares = np.array(lengths.between(edges)[:-1]) / max(len(lengths), 1)
        dashes = "solid" if number < len(_COLOURS) else "dashed"
        axes.stairs(
            shares, edges, label=_plain(name), color=_COLOURS[number % len(_COLOURS)], linestyle=dashes, linewidth=1.6
        )
    if window:
        axes.axvline(window, color="#333333", linestyle="dotted", label=f"window: {window}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)


def _plain(name: str) -> str:
    """A name that matplotlib takes for nothing but text: no formula between dollars, no hidden legend entry."""
    return name.replace("$", r"\$").removeprefix("_")


def _svg(figure: Any, title: str) -> str:
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = written.getvalue()
    return text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1)

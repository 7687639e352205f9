"""Histograms in, pictures as SVG text out: dark on light, nothing fetched."""

import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from convmodel.inspection.lengths import Lengths

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


def length_picture(title: str, files: Sequence[tuple[str, Lengths]], *, window: int | None = None) -> str:
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


def _draw_lengths(axes: Any, files: Sequence[tuple[str, Lengths]], window: int | None) -> None:
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

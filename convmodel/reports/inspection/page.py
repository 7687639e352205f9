"""HTML page of an inspection, in one self-contained file."""

import os
from collections.abc import Mapping

import numpy as np

from convmodel.data.atomic import atomic_file
from convmodel.reports.html_page import render_page
from convmodel.reports.inspection import tables
from convmodel.reports.inspection.exports import people_table, period_table
from convmodel.reports.inspection.inspect import Inspection
from convmodel.reports.inspection.lengths import Lengths
from convmodel.reports.plots import shares_svg

PLOT_BINS = 60
"""Number of bins in a plot of lengths."""


def write_page(inspection: Inspection, path: str | os.PathLike[str]) -> None:
    """Write the page atomically: the file appears, or is replaced, only when it is complete."""
    page = render(inspection)
    with atomic_file(path) as fresh:
        fresh.write_text(page, encoding="utf-8")


def render(inspection: Inspection) -> str:
    """Return the HTML page of an inspection as text."""
    return render_page(
        "inspection.html",
        title=f"Conversations: {', '.join(inspection.names.values())}",
        verdict=tables.verdict(inspection),
        problems=inspection.problems,
        files=tables.file_table(inspection),
        plots=_plots(inspection),
        pairs=tables.pair_table(inspection),
        groups=tables.group_by_kind(inspection),
        sentence=tables.sentence,
        names=inspection.names,
        scripts=tables.script_table(inspection),
        frequent=tables.frequent_table(inspection),
        people=people_table(tables.exports(inspection)),
        periods=period_table(tables.exports(inspection)),
        amount=tables.amount(inspection),
        notes=tables.notes(inspection),
    )


def _plots(inspection: Inspection) -> list[tuple[str, str]]:
    """Return the titles and the `<svg>` elements of the length plots."""
    conversations = {inspection.names[report.source]: report.conversation_tokens for report in inspection.files}
    turns = {inspection.names[report.source]: report.turn_tokens for report in inspection.files}
    return [
        _length_plot("Tokens of a conversation", conversations, window=inspection.ruler.max_length),
        _length_plot("Tokens of a turn", turns),
    ]


def _length_plot(title: str, files: Mapping[str, Lengths], *, window: int | None = None) -> tuple[str, str]:
    """Return title and `<svg>` element of a plot of the lengths of each file.

    The axis ends at the 99.5 % quantile, or a little beyond the window if this is larger.
    """
    longest = max(lengths.quantile(0.995) for lengths in files.values())
    stop = max(longest, 8 if window is None else window + window // 8)
    edges = list(range(1, stop + 2, -(-stop // PLOT_BINS)))
    # The last count of `between` has no upper bound, and is left out.
    shares = {name: np.array(lengths.between(edges)[:-1]) / max(len(lengths), 1) for name, lengths in files.items()}
    mark = None if window is None else (f"window: {window}", window)
    return title, shares_svg(title, edges, shares, label="tokens", mark=mark, integers=True)

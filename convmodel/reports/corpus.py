"""Report of a corpus: counts in and out of every filter as JSON, lines for a terminal, and a page with histograms."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from convmodel.data.atomic import atomic_file
from convmodel.reports.html_page import render_page
from convmodel.reports.plots import shares_svg
from convmodel.reports.tables import Table

SPLITS = ("train", "valid", "test")


def make_report(item: str, counts: Mapping[str, Counter[str]], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report of a corpus as JSON.

    Args:
        item: the noun of the items of a dump, in the plural, such as "comments".
        counts: the counts of each stage; see `data.corpus.steps`.
        options: the options of the corpus.
    """
    read = dict(counts["split"])
    written = counts["write"]
    sizes = {key: Counter[int]() for key in ("turns", "words")}
    for key, count in written.items():
        name, _, size = key.partition("=")
        if size:
            sizes[name][int(size)] += count
    built = dict(counts["build"])
    duplicates = {key: written[key] for key in ("equal to another", "similar to another") if written[key]}
    return {
        item: {"read": read.pop("read", 0), "kept": read.pop("kept", 0), "left out": dict(sorted(read.items()))},
        "conversations": {
            "built": sum(built.values()),
            "left out": dict(sorted((built | duplicates).items() - {("kept", built.get("kept"))})),
            **{name: written[name] for name in SPLITS},
        },
        "histograms": {key: {str(size): sizes[key][size] for size in sorted(sizes[key])} for key in sizes},
        "options": dict(options),
    }


def describe(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a report for a terminal."""
    item = next(iter(report))
    for noun in (item, "conversations"):
        counts = report[noun]
        total = counts.get("read", counts.get("built"))
        kept = counts.get("kept", sum(counts.get(name, 0) for name in SPLITS))
        yield f"{noun}: {total:,} {'read' if 'read' in counts else 'built'}, {kept:,} kept"
        yield from (f"  {reason}: {count:,}" for reason, count in counts["left out"].items())
    conversations = report["conversations"]
    yield ", ".join(f"{name} {conversations[name]:,}" for name in SPLITS)


def write_page(report: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the HTML page of a report atomically."""
    item = next(iter(report))
    conversations = report["conversations"]
    kept = sum(conversations[name] for name in SPLITS)
    options = tuple((name, str(value or "none")) for name, value in report["options"].items())
    page = render_page(
        "corpus.html",
        title="Corpus",
        sentence=f"{report[item]['read']:,} {item} became {kept:,} conversations.",
        sections=[(noun.capitalize(), _counts_table(report[noun])) for noun in (item, "conversations")],
        plots=list(_plots(report["histograms"])),
        options=Table(("option", "value"), options),
    )
    with atomic_file(path) as fresh:
        fresh.write_text(page, encoding="utf-8")


def _counts_table(counts: Mapping[str, Any]) -> Table:
    """Return a table of counts, with their shares of the first one."""
    flat = {name: count for name, count in counts.items() if name != "left out"}
    total = max(1, next(iter(flat.values())))
    rows = [*flat.items(), *((f"left out: {reason}", count) for reason, count in counts["left out"].items())]
    return Table(("", "number", "share"), tuple((name, f"{n:,}", f"{100 * n / total:.2f} %") for name, n in rows))


def _plots(histograms: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, str]]:
    """Yield title and `<svg>` element of the histograms that have values."""
    titles = {"turns": "Turns of a conversation", "words": "Words of a turn"}
    for key, histogram in histograms.items():
        sizes = sorted(map(int, histogram))
        if sizes:
            counts = np.array([histogram[str(size)] for size in sizes], dtype=float)
            edges = [*sizes, sizes[-1] + max(1, sizes[-1] // 8)]
            shares = counts / counts.sum() / np.diff(edges)
            yield titles[key], shares_svg(titles[key], edges, {key: shares}, label=key, integers=True)

"""A report in, one HTML page out that needs nothing else: no script, no font, no picture from elsewhere."""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby

from convmodel.data.reader import count
from convmodel.reports.evaluation.comparison import Comparison
from convmodel.reports.evaluation.formatting import (
    ARROWS,
    METHOD,
    bounds,
    columns,
    compared_with,
    legend,
    number,
    signed,
)
from convmodel.reports.evaluation.report import Report
from convmodel.reports.evaluation.task import Card, Histogram
from convmodel.reports.plots import svg
from convmodel.reports.style import STYLE

CARDS = 10
"""How many of the best and of the worst examples are shown."""

TURNS = 6
"""How many of the newest turns of a context are shown; the older ones are folded away."""


def page(
    report: Report,
    comparison: Comparison | None,
    *,
    histograms: Sequence[Histogram],
    ranked: Sequence[Card],
    sides: tuple[str, str],
) -> str:
    """The page of a report.

    Args:
        report: the numbers.
        comparison: with another model, when there was one.
        histograms: what is drawn.
        ranked: all examples, best first.
        sides: the headings above the best and the worst of them.
    """
    title = f"{report.model['source']} on {report.data['source']}"
    shown = min(CARDS, (len(ranked) + 1) // 2)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(report.summary)}</p>",
        *(f'<p class="note">{escape(note)}</p>' for note in report.notes),
        "<h2>Numbers</h2>",
        _numbers(report),
        f"<p><small>{legend(report)}</small></p>",
        *([] if comparison is None else _compared(comparison)),
        "<h2>How they spread</h2>",
        '<div class="grid">',
        *(f"<figure><figcaption>{escape(one.title)}</figcaption>{svg(one)}</figure>" for one in histograms),
        "</div>",
        "<h2>Best and worst</h2>",
        '<div class="sides">',
        *_column(sides[0], ranked[:shown]),
        *_column(sides[1], ranked[::-1][: min(shown, len(ranked) - shown)]),
        "</div>",
        "<h2>How it was made</h2>",
        *_origin(report),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(parts)
    head = f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}<style>{STYLE}</style></head>\n'
    return f"{head}<body>\n{body}\n</body>\n</html>\n"


def _numbers(report: Report) -> str:
    rows, headings = [], ["", *columns(report)]
    for family, metrics in groupby(report.metrics, key=lambda metric: metric.family):
        rows.append(f'<tr><th colspan="{len(headings)}">{escape(family)}</th></tr>')
        for metric in metrics:
            gold = f"<td>{'' if metric.gold is None else number(metric.gold)}</td>" if len(headings) > 3 else ""
            rows.append(
                f"<tr><td>{escape(metric.name)} {ARROWS[metric.better]}<small>{escape(metric.meaning)}</small></td>"
                f"<td><b>{number(metric.value)}</b></td><td>{bounds(metric.low, metric.high)}</td>{gold}</tr>"
            )
    return _table(headings, rows)


def _compared(comparison: Comparison) -> list[str]:
    rows = [
        f'<tr><td>{escape(one.name)}</td><td class="{escape(one.verdict)}">{escape(one.verdict)}</td>'
        f"<td>{number(one.value)}</td><td>{number(one.other)}</td><td>{signed(one.difference)}</td>"
        f"<td>{bounds(one.low, one.high)}</td><td>{number(one.p)}</td></tr>"
        for one in comparison.differences
    ]
    level = f"{100 * comparison.confidence:g} % interval"
    return [
        f"<h2>{escape(compared_with(comparison))}</h2>",
        '<div class="compared">',
        _table(["", "verdict", "this", "other", "difference", level, "p"], rows),
        "</div>",
        f"<p><small>{escape(METHOD.format(resamples=comparison.resamples))}</small></p>",
    ]


def _table(header: Sequence[str], rows: Iterable[str]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "\n".join(rows)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _column(title: str, cards: Sequence[Card]) -> list[str]:
    return ["<section>", f"<h3>{escape(title)}</h3>", *map(_card, cards), "</section>"]


def _card(card: Card) -> str:
    replier = len(card.context) % 2
    turns = [
        f'<p class="turn{" right" if number % 2 == replier else ""}">{escape(turn)}</p>'
        for number, turn in enumerate(card.context)
    ]
    older, newer = turns[:-TURNS], turns[-TURNS:]
    folded = (
        f"<details><summary>{count(len(older), 'earlier turn')}</summary>{''.join(older)}</details>" if older else ""
    )
    said = [
        f'<p class="turn said {escape(who)}"><b>{escape(who)}</b>{escape(text) or "<i>(nothing)</i>"}</p>'
        for who, text in card.said.items()
    ]
    persona = f'<p class="persona">{escape(" ".join(card.persona))}</p>' if card.persona else ""
    facts = " · ".join(f"{escape(name)} {escape(value)}" for name, value in card.facts.items())
    return f"<article>{persona}{folded}{''.join(newer)}{''.join(said)}<small>{facts}</small></article>"


def _origin(report: Report) -> list[str]:
    groups = {
        "model": report.model,
        "data": report.data,
        "options": report.options,
        **{name: value for name, value in report.used.items() if isinstance(value, dict)},
        "signatures": report.signatures,
        "versions": report.versions,
    }
    rows = [
        f"<dt>{escape(name)}</dt><dd>{escape('; '.join(f'{key} {value}' for key, value in values.items()))}</dd>"
        for name, values in groups.items()
    ]
    return ["<dl>", *rows, "</dl>"]

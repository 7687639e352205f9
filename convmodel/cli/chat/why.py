"""Explanation of a reply: a table of its candidates, and a summary of why the first one won."""

import math
from collections.abc import Sequence

from convmodel.cli.chat.outcome import TextTable
from convmodel.responders.option_values import show_value
from convmodel.responders.protocol import Candidate, Reply

MIN_TEXT_COLUMNS = 20
"""Minimum width of the column of candidate texts."""


def candidate_table(reply: Reply, chosen: int) -> TextTable:
    """Return a table of the candidates with their scores, sources, and scores of earlier stages.

    Args:
        reply: a finished reply.
        chosen: index of the current reply among the candidates.
    """
    stages = _stages(reply.candidates)
    rows = tuple(
        (str(n), _format(c.score), _format_source(c), *(_format(c.scores.get(stage)) for stage in stages), c.text)
        for n, c in enumerate(reply.candidates, 1)
    )
    head = ("", "score", "source", *stages, "candidate")
    widths = [max(len(row[n]) for row in (head, *rows)) + 2 for n in range(len(head) - 1)]
    return TextTable(head, rows, chosen, min_columns=sum(widths) + MIN_TEXT_COLUMNS)


def _stages(candidates: Sequence[Candidate]) -> list[str]:
    """Return the stages whose scores differ from the final scores."""
    stages = sorted({stage for candidate in candidates for stage in candidate.scores}, reverse=True)
    return [
        stage
        for stage in stages
        if any(stage in c.scores and _format(c.scores[stage]) != _format(c.score) for c in candidates)
    ]


def explain(reply: Reply) -> str:
    """Return one or two sentences about the ranking; empty if no candidates were compared."""
    first, *others = reply.candidates
    lines = []
    if others and first.score is not None:
        lines.append(_describe_ranking(reply))
    chosen = [candidate for candidate in reply.candidates if candidate.source != "written"]
    if chosen:
        lines.append(_count_sources(reply))
    if first.metadata:
        lines.append(f"#{first.number}: {', '.join(f'{key} {show_value(v)}' for key, v in first.metadata.items())}")
    return "\n".join(lines)


def _describe_ranking(reply: Reply) -> str:
    first, second, *_ = (candidate.score or 0.0 for candidate in reply.candidates)
    ahead = first - second
    by = f" by {reply.ranked_by}" if reply.ranked_by else ""
    if any((candidate.score or 0.0) > first for candidate in reply.candidates):
        return f"1 was drawn: likelier the higher its score{by}"
    if not ahead or math.isnan(ahead):
        return f"1 and 2 have the same score{by}; 1 came first"
    if math.isinf(ahead):
        return "1 is the only one with text"
    return f"1 has the best score{by}, {ahead:.3g} above 2"


def _count_sources(reply: Reply) -> str:
    sources = [candidate.source for candidate in reply.candidates]
    both = sources.count("both")
    written = sources.count("written") + both
    chosen = sources.count("chosen") + both
    if not written:
        return f"{chosen} chosen, none written"
    return f"{written} written, {chosen} chosen" + (f", {both} of them both" if both else "")


def _format(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"


def _format_source(candidate: Candidate) -> str:
    return candidate.source if candidate.number is None else f"{candidate.source} #{candidate.number}"

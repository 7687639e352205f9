"""A Reply in, the table of its candidates and why the first of them is the reply out."""

import math
from collections.abc import Sequence

from convmodel.cli.chat.outcome import Table
from convmodel.responders.option_values import show_value
from convmodel.responders.protocol import Candidate, Reply

TEXT = 20
"""Columns without which a candidate's text is not readable."""


def candidate_table(reply: Reply, chosen: int) -> Table:
    """The field: of each candidate its score, where it came from, and what the stages before had found.

    Args:
        chosen: which one is the reply now, from 0.
    """
    stages = _stages(reply.candidates)
    rows = tuple(
        (str(n), _number(c.score), _source(c), *(_number(c.scores.get(stage)) for stage in stages), c.text)
        for n, c in enumerate(reply.candidates, 1)
    )
    head = ("", "score", "source", *stages, "candidate")
    widths = [max(len(row[n]) for row in (head, *rows)) + 2 for n in range(len(head) - 1)]
    return Table(head, rows, chosen, least=sum(widths) + TEXT)


def _stages(candidates: Sequence[Candidate]) -> list[str]:
    """The stages that have something to say: not the one that decided."""
    found = sorted({stage for candidate in candidates for stage in candidate.scores}, reverse=True)
    return [
        stage
        for stage in found
        if any(stage in each.scores and _number(each.scores[stage]) != _number(each.score) for each in candidates)
    ]


def why(reply: Reply) -> str:
    """What decided, in a sentence or two; nothing where nothing was compared."""
    first, *others = reply.candidates
    said = []
    if others and first.score is not None:
        said.append(_won(reply))
    chosen = [candidate for candidate in reply.candidates if candidate.source != "written"]
    if chosen:
        said.append(_counted(reply))
    if first.metadata:
        said.append(f"#{first.number}: {', '.join(f'{key} {show_value(v)}' for key, v in first.metadata.items())}")
    return "\n".join(said)


def _won(reply: Reply) -> str:
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


def _counted(reply: Reply) -> str:
    sources = [candidate.source for candidate in reply.candidates]
    both = sources.count("both")
    written, chosen = sources.count("written") + both, sources.count("chosen") + both
    if not written:
        return f"{chosen} chosen, none written"
    return f"{written} written, {chosen} chosen" + (f", {both} of them both" if both else "")


def _number(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"


def _source(candidate: Candidate) -> str:
    return candidate.source if candidate.number is None else f"{candidate.source} #{candidate.number}"

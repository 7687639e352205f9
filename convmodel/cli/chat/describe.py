"""Descriptions of a reply: a status line, a table of the candidates, and an explanation of their ranking."""

import math
from collections.abc import Sequence

from convmodel.cli.chat.screen import TextTable
from convmodel.responders.protocol import Candidate, Reply
from convmodel.responders.typed_input import show_value

MIN_TEXT_COLUMNS = 20

SEPARATOR = " · "


def status_line(reply: Reply, columns: int | None = None) -> str:
    """Return one line: tokens of the window used, dropped turns, tokens per second, time to the first token, and seed.

    If the line is longer than `columns`, words are abbreviated. If it is still too long, its last fields are left out.
    """
    long = _fields(reply, short=False)
    if columns is None or len(SEPARATOR.join(long)) <= columns:
        return SEPARATOR.join(long)
    fields = _fields(reply, short=True)
    while len(fields) > 1 and len(SEPARATOR.join(fields)) > columns:
        fields.pop()
    return SEPARATOR.join(fields)[:columns]


def _fields(reply: Reply, *, short: bool) -> list[str]:
    fields = []
    if reply.window:
        used = reply.context_tokens + reply.reply_tokens
        fields.append(f"{used}/{reply.window} tok" if short else f"{used} of {reply.window} tokens")
        turns = "turn" if reply.turns_dropped == 1 else "turns"
        fields.append(f"{reply.turns_dropped} dropped" if short else f"{reply.turns_dropped} {turns} dropped")
        if reply.tokens_dropped and not reply.turns_dropped:  # the newest turn alone is too long
            fields.append("turn cut" if short else f"{reply.tokens_dropped} tokens of your turn cut")
    if reply.reply_tokens and reply.seconds > 0:
        fields.append(f"{reply.reply_tokens / reply.seconds:,.0f} {'tok' if short else 'tokens'}/s")
        first = _time(reply.first_seconds)
        fields.append(first if short else f"first {first}")
    if reply.seed is not None:
        fields.append(f"seed {reply.seed}")
    return fields or [_time(reply.seconds)]


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def candidate_table(reply: Reply, chosen: int) -> TextTable:
    """Return a table of the candidates with the scores of all stages; `chosen` is the index of the current reply."""
    stages = _stages(reply.candidates)
    sources = [c.source if c.number is None else f"{c.source} #{c.number}" for c in reply.candidates]
    rows = tuple(
        (str(n), _format(c.score), source, *(_format(c.scores.get(stage)) for stage in stages), c.text)
        for n, (c, source) in enumerate(zip(reply.candidates, sources, strict=True), 1)
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
    """Return the reasoning, and one or two sentences about the ranking; empty if there is neither."""
    first, *others = reply.candidates
    lines = [f"it thought: {reply.reasoning}"] if reply.reasoning else []
    if others and first.score is not None:
        lines.append(_describe_ranking(reply))
    if reply.confidence is not None:
        lines.append(_describe_confidence(reply))
    if any(candidate.source != "written" for candidate in reply.candidates):
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


def _describe_confidence(reply: Reply) -> str:
    text = f"the best candidate chosen is correct with a probability of {reply.confidence:.2f}"
    if reply.min_score is None or reply.confidence is None:
        return text
    if reply.confidence >= reply.min_score:
        return f"{text}; min_score is {reply.min_score:.2f}"
    return f"{text}, below min_score, {reply.min_score:.2f}: no candidate was chosen"


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

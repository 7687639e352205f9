"""One-line status of a reply, shortened to a given width."""

from convmodel.responders.protocol import Reply

SEPARATOR = " · "


def status_line(reply: Reply, columns: int | None = None) -> str:
    """Return tokens used of the window, dropped turns, tokens per second, time to the first token, and the seed.

    Args:
        reply: a finished reply.
        columns: maximum length of the line. A longer line uses short words and then loses fields from its end. None for
            no limit.
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

"""Dumps of Reddit's comments: JSON Lines with id, parent_id, link_id, author, body and subreddit.

A thread is the tree of comments below one submission. At each comment, the conversation continues with the reply that
has the longest path below it. Every other reply begins a new conversation, preceded by the comment that it answers.
Each comment is thus a reply in exactly one conversation. A comment begins a conversation if its parent is missing or
was left out. Successive comments of one author are joined into one turn.
"""

import html
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import orjson

from convmodel.data.corpus.dump import TurnLimits
from convmodel.data.corpus.rows import LARGEST_LINE, Row, read_lines

_DELETED = {"[deleted]", "[removed]", "[deleted by user]"}
_BOT_NAME = re.compile(r"(?:[-_]bot\d*$|^bot[-_]|[a-z]Bot\d*$)")
_BOT_TEXT = re.compile(r"\b(?:i am|i'm|\^i \^am) (?:just )?a bot\b|\bbeep boop\b", re.IGNORECASE)
_QUOTE = re.compile(r"^>.*$", re.MULTILINE)
_LINK = re.compile(r"\[([^\[\]]*)\]\((?:[^()\s]|\([^()\s]*\))*\)")
_BLANK_LINES = re.compile(r"\s*\n\s*")


class Reddit:
    """Reddit's comments; see `dump.Dump`. Rows are [link_id, id, parent_id, author, text]."""

    name = "reddit"
    item = "comments"

    def rows(self, path: str, limits: TurnLimits, counts: Counter[str]) -> Iterator[Row]:
        """Yield the comments of a file that have a text; see `Dump.rows`."""
        loads = orjson.loads
        for line in read_lines(path):
            if line == b"":
                continue
            counts["read"] += 1
            if line is None:
                counts[f"line above {LARGEST_LINE // 2**20} MiB"] += 1
                continue
            try:
                comment = loads(line)
                thread, key, parent = comment["link_id"], comment["id"], comment["parent_id"]
                author, body = comment["author"], comment["body"]
            except (orjson.JSONDecodeError, KeyError, TypeError):
                counts["not a comment"] += 1
                continue
            if not type(thread) is type(key) is type(parent) is type(author) is type(body) is str:
                counts["not a comment"] += 1
                continue
            fault, text = _read_text(author, body, limits)
            counts[fault or "kept"] += 1
            if fault is None:
                yield [thread, key, parent, author, text]

    def conversations(self, rows: Sequence[Row], limits: TurnLimits) -> Iterator[list[str]]:
        """Yield the conversations of a thread; see `Dump.conversations`."""
        comments = {key: (parent.rpartition("_")[2], author, text) for _, key, parent, author, text in rows}
        replies: dict[str, list[str]] = defaultdict(list)
        roots = []
        for key, (parent, _, _) in comments.items():
            if parent in comments and parent != key:
                replies[parent].append(key)
            else:
                roots.append(key)
        heights = _heights(roots, replies)
        pending = [(root, None) for root in reversed(roots)]
        while pending:
            first, before = pending.pop()
            path = [] if before is None else [before]
            key = first
            while True:
                path.append(key)
                following = replies.get(key)
                if not following:
                    break
                best = max(following, key=heights.__getitem__)
                pending += [(other, key) for other in reversed(following) if other != best]
                key = best
            yield from _turns([comments[key] for key in path], limits)


def _read_text(author: str, body: str, limits: TurnLimits) -> tuple[str | None, str]:
    """Return the reason to leave a comment out, or None, and its text without quotes and Markdown links."""
    if body in _DELETED:
        return "deleted", ""
    if _BOT_NAME.search(author) or ("bot" in body and _BOT_TEXT.search(body)) or author == "AutoModerator":
        return "of a bot", ""
    text = body
    if "&" in text:
        text = html.unescape(text).replace("\u200b", "")
    if ">" in text:
        text = _QUOTE.sub("", text)
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    text = text.strip()
    if "\n" in text:
        text = _BLANK_LINES.sub("\n", text)
    if not text:
        return "empty", ""
    return limits.fault(text), text


def _heights(roots: Sequence[str], replies: dict[str, list[str]]) -> dict[str, int]:
    """Return the number of comments of the longest path down from each comment."""
    order = list(roots)
    for key in order:
        order += replies.get(key, ())
    heights: dict[str, int] = {}
    for key in reversed(order):
        heights[key] = 1 + max((heights[reply] for reply in replies.get(key, ())), default=0)
    return heights


def _turns(comments: Sequence[tuple[str, str, str]], limits: TurnLimits) -> Iterator[list[str]]:
    """Yield the turns of the conversations of a path: comments of one author are joined, long paths are split."""
    turns: list[str] = []
    last = None
    for _, author, text in comments:
        if author == last and author not in _DELETED:  # two deleted accounts may be two people
            turns[-1] += "\n" + text
        else:
            turns.append(text)
        last = author
    for start in range(0, len(turns), limits.max_turns):
        yield turns[start : start + limits.max_turns]

"""Realistic dumps of comments: deep threads, missing parents, deleted comments, bots, copies, and broken lines."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

WORDS = tuple(
    f"{start}{end}"
    for start in ["ba", "be", "bi", "do", "du", "fa", "ge", "ka", "la", "mo", "ne", "pa", "ra", "so", "ti", "wu", "za"]
    for end in ["bel", "can", "dor", "fin", "gar", "lim", "mon", "nar", "pel", "ris", "sam", "tok", "ver", "wis"]
)
UNICODE = ("café", "naïve", "日本語", "привет", "🙂", "Straße")
DELETED = ("[deleted]", "[removed]")


def comments(count: int, *, seed: int = 0, threads: int | None = None) -> Iterator[dict[str, object]]:
    """Yield comments in the order of their time, of which about `count / 20` threads take part at once."""
    source = random.Random(seed)
    open_threads: list[tuple[str, list[str]]] = []
    places = max(1, threads or min(count // 20, 5_000))
    for number in range(count):
        key = f"c{seed}x{number:x}"
        if len(open_threads) < places:
            open_threads.append((f"t3_{seed}x{number:x}", []))
        place = source.randrange(len(open_threads))
        link, known = open_threads[place]
        parent = _parent(source, link, known)
        known.append(key)
        if len(known) > source.randrange(10, 120):
            open_threads[place] = (f"t3_{seed}x{number:x}", [])
        yield {
            "id": key,
            "parent_id": parent,
            "link_id": link,
            "author": "AutoModerator" if source.random() < 0.01 else f"user{source.randrange(50_000)}",
            "body": _body(source),
            "subreddit": f"sub{source.randrange(100)}",
            "created_utc": 1_500_000_000 + number,
            "score": source.randrange(-5, 500),
            "author_flair_text": None,
            "permalink": f"/r/sub/comments/{link[3:]}/title_of_the_post/{key}/",
        }


def _parent(source: random.Random, link: str, known: list[str]) -> str:
    """Return the parent of a comment: the submission, a comment, often a recent one, or one that is missing."""
    chance = source.random()
    if not known or chance < 0.15:
        return link
    if chance < 0.18:
        return f"t1_gone{source.randrange(10**6)}"
    recent = known[-8:] if chance < 0.8 else known
    return f"t1_{source.choice(recent)}"


def _body(source: random.Random) -> str:
    chance = source.random()
    if chance < 0.06:
        return source.choice(DELETED)
    if chance < 0.07:
        return " "
    if chance < 0.09:
        return f"Same here, {source.choice(WORDS)}!"
    words = source.choices(WORDS, k=min(200, 1 + int(source.expovariate(1 / 25))))
    if chance < 0.15:
        words.insert(source.randrange(len(words)), source.choice(UNICODE))
    text = " ".join(words).capitalize() + "."
    if chance > 0.95:
        text = f"&gt; {text}\n\n{text[::-1]} &amp; [link](https://example.org/{words[0]})"
    return text


def write_dump(file: Path, count: int, *, seed: int = 0, broken: bool = True) -> None:
    """Write a dump; its name ends in .zst or .jsonl. With `broken`, some lines are no comments."""
    import zstandard

    with open(file, "wb") as raw:
        packed = zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) if file.suffix == ".zst" else raw
        for number, comment in enumerate(comments(count, seed=seed)):
            if broken and number % 997 == 500:
                packed.write(b'{"id": "broken", "body": \n')
            packed.write(json.dumps(comment).encode() + b"\n")
        if packed is not raw:
            packed.close()

"""Files of conversations, findings of a kind, and conversations that are similar to each other."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from convmodel.reports.inspection.findings import Finding
from convmodel.reports.inspection.inspect import Inspection
from convmodel.reports.inspection.minhash import words_of

Write = Callable[..., str]
Inspect = Callable[..., Inspection]

WORDS = [
    a + b + c for a in ("", "un", "re", "over") for b in ("do", "make", "sing", "walk", "tell") for c in ("", "s", "er")
]

EVIL = "<script>alert('x')</script> & \"<b>\" $x_1$"


def write_lines(path: Path, lines: Sequence[Any]) -> str:
    """Write one value a line as JSON, and bytes as they are; return the path."""
    texts = (line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() for line in lines)
    path.write_bytes(b"".join(text + b"\n" for text in texts))
    return str(path)


def findings_of(inspection: Inspection, kind: str) -> list[Finding]:
    """Return the findings of a kind."""
    return [finding for finding in inspection.findings if finding.kind == kind]


def talk(source: random.Random, *, turns: int | None = None) -> list[str]:
    """Return a conversation of random words, hardly like any other."""
    count = turns or source.randint(2, 8)
    return [" ".join(source.choices(WORDS, k=source.randint(3, 12))) for _ in range(count)]


def pairs_of(turns: list[str]) -> set[tuple[str, str]]:
    """Return the pairs of neighbouring words."""
    return set(zip(["", *words_of(turns)], words_of(turns), strict=False))


def jaccard(these: set[tuple[str, str]], others: set[tuple[str, str]]) -> float:
    """Return the share of pairs that both have."""
    return len(these & others) / len(these | others)


def changed(source: random.Random, turns: list[str], share: float) -> list[str]:
    """Return the conversation with about this share of its words replaced."""
    return [
        " ".join(source.choice(["x", "y", "zz"]) if source.random() < share else w for w in turn.split())
        for turn in turns
    ]


def families(source: random.Random, count: int) -> list[list[str]]:
    """Return conversations, each with three more or less changed copies."""
    originals = [talk(source, turns=8) for _ in range(count)]
    return [c for o in originals for c in (o, *(changed(source, o, share) for share in (0.01, 0.05, 0.3)))]

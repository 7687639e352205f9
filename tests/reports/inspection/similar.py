"""Conversations that are similar to each other, and their exact similarity."""

import random

from convmodel.reports.inspection.minhash import words_of
from tests.reports.inspection.conftest import talk


def pairs_of(turns: list[str]) -> set[tuple[str, str]]:
    """The pairs of neighbouring words."""
    return set(zip(["", *words_of(turns)], words_of(turns), strict=False))


def jaccard(one: set[tuple[str, str]], other: set[tuple[str, str]]) -> float:
    """The share of pairs that both have."""
    return len(one & other) / len(one | other)


def changed(source: random.Random, turns: list[str], share: float) -> list[str]:
    """The same conversation with about this share of its words replaced."""
    return [
        " ".join(source.choice(["x", "y", "zz"]) if source.random() < share else w for w in turn.split())
        for turn in turns
    ]


def families(source: random.Random, number: int) -> list[list[str]]:
    """Conversations, each with three more or less changed copies."""
    originals = [talk(source, turns=8) for _ in range(number)]
    return [c for o in originals for c in (o, *(changed(source, o, share) for share in (0.01, 0.05, 0.3)))]

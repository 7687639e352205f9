"""Candidates of an index, and the bytes of its files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from convmodel.data.candidates import CandidateText

TEXTS = [
    f"I {verb} the {noun}{end}"
    for end in (".", "?")
    for verb in ("like", "play", "see")
    for noun in ("sea", "rain", "piano", "guitar", "house")
]


def given(texts: Sequence[str] = TEXTS) -> Iterator[CandidateText]:
    return map(CandidateText, texts)


def content(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of an index."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}

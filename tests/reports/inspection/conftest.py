"""Files of conversations, and what is found in them."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from convmodel.reports.inspection.findings import Finding
from convmodel.reports.inspection.inspect import Inspection, inspect_files
from convmodel.reports.inspection.settings import InspectionSettings

Write = Callable[..., str]
Inspect = Callable[..., Inspection]

WORDS = [
    a + b + c for a in ("", "un", "re", "over") for b in ("do", "make", "sing", "walk", "tell") for c in ("", "s", "er")
]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes one value a line as JSON; a string of bytes as it is."""

    def write_lines(name: str, lines: Sequence[Any]) -> str:
        path = tmp_path / name
        path.write_bytes(
            b"".join((x if isinstance(x, bytes) else json.dumps(x, ensure_ascii=False).encode()) + b"\n" for x in lines)
        )
        return str(path)

    return write_lines


@pytest.fixture
def inspect() -> Inspect:
    """Inspects files."""

    def inspected(*sources: str, **settings: Any) -> Inspection:
        return inspect_files(sources, InspectionSettings(**settings), progress=lambda _: lambda _: None)

    return inspected


def found(inspection: Inspection, kind: str) -> list[Finding]:
    """The findings of a kind."""
    return [finding for finding in inspection.findings if finding.kind == kind]


def talk(source: random.Random, *, turns: int | None = None) -> list[str]:
    """A conversation of random words, hardly like any other."""
    count = turns or source.randint(2, 8)
    return [" ".join(source.choices(WORDS, k=source.randint(3, 12))) for _ in range(count)]


EVIL = "<script>alert('x')</script> & \"<b>\" $x_1$"


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # however long the paths are, no line is broken

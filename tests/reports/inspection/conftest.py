"""Fixtures that write and inspect files of conversations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from convmodel.reports.inspection.inspect import Inspection, inspect_files
from convmodel.reports.inspection.settings import InspectionSettings
from tests.reports.inspection.helpers import Inspect, Write, write_lines


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, lines: Sequence[Any]) -> str:
        return write_lines(tmp_path / name, lines)

    return write_file


@pytest.fixture
def inspect() -> Inspect:
    def inspected(*sources: str, **settings: Any) -> Inspection:
        return inspect_files(sources, InspectionSettings(**settings), progress=lambda _: lambda _: None)

    return inspected


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # however long the paths are, no line is broken

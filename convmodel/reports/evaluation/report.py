"""Numbers with their intervals in, a folder out, and back: report.json and the lines from which all of it was made."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from convmodel.reports.evaluation.examples import Options
from convmodel.reports.evaluation.task import EvaluationTask, Lines

REPORT, PAGE, COMPARISON = "report.json", "report.html", "comparison.json"

FORMAT = 1
"""Raised when older reports can no longer be read."""


@dataclass(frozen=True)
class Number:
    """A metric as it is reported; None stands for what is no finite number.

    Args:
        name, family, meaning, better: see `Metric`.
        value: over all examples.
        low, high: the bounds of the interval.
        gold: the same number of the gold replies, where there is one.
    """

    name: str
    family: str
    meaning: str
    better: str
    value: float | None
    low: float | None
    high: float | None
    gold: float | None = None


@dataclass(frozen=True)
class Report:
    """What a model came to on some data. Nothing in it depends on when or how fast it was made.

    Args:
        kind: which kind of model was measured.
        summary: what was measured, in a sentence.
        model: what it was: `source` as it was given, `fingerprint` and sizes.
        data: `source` as it was given, `fingerprint`, and how much of it was measured.
        options: everything else that the numbers depend on.
        used: what the options came to, such as the whole decoding.
        signatures: what must be the same for numbers to be comparable, by metric.
        versions: of what computed them.
        notes: what to know before trusting a number.
        metrics: the numbers.
    """

    kind: str
    summary: str
    model: Mapping[str, Any]
    data: Mapping[str, Any]
    options: Mapping[str, Any]
    used: Mapping[str, Any]
    signatures: Mapping[str, str]
    versions: Mapping[str, str]
    notes: Sequence[str] = ()
    metrics: Sequence[Number] = field(default_factory=list)
    format: int = FORMAT

    def __getitem__(self, name: str) -> Number:
        """The metric of this name.

        Raises:
            KeyError: when there is none.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(f"{name!r}; there are {', '.join(metric.name for metric in self.metrics)}")

    def asked(self) -> Options:
        """The options as they were."""
        return Options(**self.options)


def finite(value: float | None) -> float | None:
    """A float that JSON can hold: None for nan and infinities."""
    return value if value is not None and math.isfinite(value) else None


def as_json(value: Any) -> str:
    """A text for files that people read too."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, sort_keys=False) + "\n"


def write_lines(path: Path, lines: Iterable[Any]) -> None:
    """Writes one JSON object for each dataclass."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(json.dumps(asdict(line), ensure_ascii=False, allow_nan=False) + "\n")


def load_report(path: str | os.PathLike[str]) -> tuple[Report, Path]:
    """Reads a report.

    Args:
        path: the folder, or the report.json in it.

    Returns:
        The report and the folder in which its lines lie.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when it cannot be read as one.
    """
    file = Path(path) / REPORT if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such report; give a folder that python -m convmodel evaluate wrote")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        numbers = [Number(**number) for number in values.pop("metrics")]
        report = Report(**values, metrics=numbers)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{file}: is no report of this version of convmodel ({error}); evaluate that model again"
        ) from None
    if report.format != FORMAT:
        raise ValueError(f"{file}: has format {report.format}, this version reads {FORMAT}; evaluate that model again")
    return report, file.parent


def load_lines(folder: Path, kind: EvaluationTask) -> Lines:
    """Reads the lines of a report.

    Raises:
        FileNotFoundError: when one of the files is missing.
        ValueError: for a line that is none, with file and number.
    """
    return {name: list(_lines(folder / name, line)) for name, line in kind.files.items()}


def _lines(path: Path, line: type) -> Iterable[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is missing; a comparison needs the whole folder of a report")
    names = {each.name for each in fields(line)}
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            try:
                values = json.loads(text)
                if set(values) != names:
                    raise ValueError(f"it has {sorted(values)}")
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"{path}:{number}: is no line of a report ({error}); evaluate that model again"
                ) from None
            yield line(**values)

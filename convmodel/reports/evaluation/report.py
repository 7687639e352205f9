"""The report of an evaluation, and its files: report.json and the lines that its numbers were computed from."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from convmodel.reports.evaluation.examples import EvaluationOptions
from convmodel.reports.evaluation.task import EvaluationTask, Lines

REPORT = "report.json"
PAGE = "report.html"
COMPARISON = "comparison.json"

FORMAT = 1
"""Version of the report's files; raised when older reports can no longer be read."""


@dataclass(frozen=True)
class Number:
    """A reported metric; numbers that are not finite are None.

    Args:
        name: see `Metric`.
        family: see `Metric`.
        meaning: see `Metric`.
        better: see `Metric`.
        value: the metric over all examples.
        low: lower bound of the confidence interval.
        high: upper bound of it.
        gold: the same metric of the gold replies, where there is one.
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
class EvaluationReport:
    """The numbers of a model on some data. Nothing in it depends on the time or on the speed of the evaluation.

    Args:
        kind: name of the task.
        summary: a sentence that says what was measured.
        model: facts about the model: `source` as it was given, `fingerprint` and sizes.
        data: `source` as it was given, `fingerprint`, and the amount of data.
        options: everything else that the numbers depend on.
        used: settings derived from the options, such as the complete decoding configuration.
        signatures: settings that must be equal for numbers to be comparable, by metric.
        versions: versions of the libraries that computed the numbers.
        notes: caveats to know before trusting a number.
        metrics: the numbers.
        format: version of the report's files.
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
        """Return the metric of this name.

        Raises:
            KeyError: when there is none.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(f"{name!r}; there are {', '.join(metric.name for metric in self.metrics)}")

    def evaluation_options(self) -> EvaluationOptions:
        """Return the options of the evaluation."""
        return EvaluationOptions(**self.options)


def finite(value: float | None) -> float | None:
    """Return a number that JSON can hold: None for nan and infinities."""
    return value if value is not None and math.isfinite(value) else None


def as_json(value: Any) -> str:
    """Return indented JSON, for files that people read too."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, sort_keys=False) + "\n"


def write_lines(path: Path, lines: Iterable[Any]) -> None:
    """Write one JSON object for each dataclass."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(json.dumps(asdict(line), ensure_ascii=False, allow_nan=False) + "\n")


def load_report(path: str | os.PathLike[str]) -> tuple[EvaluationReport, Path]:
    """Read a report.

    Args:
        path: the folder, or the report.json in it.

    Returns:
        The report and the folder that holds its lines.

    Raises:
        FileNotFoundError: when there is no report.
        ValueError: when the file cannot be read as a report.
    """
    file = Path(path) / REPORT if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such report; give a folder that python -m convmodel evaluate wrote")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        numbers = [Number(**number) for number in values.pop("metrics")]
        report = EvaluationReport(**values, metrics=numbers)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{file}: not a report of this version of convmodel ({error}); evaluate that model again"
        ) from None
    if report.format != FORMAT:
        raise ValueError(f"{file}: has format {report.format}, this version reads {FORMAT}; evaluate that model again")
    return report, file.parent


def load_lines(folder: Path, task: EvaluationTask) -> Lines:
    """Read the lines of a report.

    Raises:
        FileNotFoundError: when one of the files is missing.
        ValueError: for an invalid line, with the file and the line number.
    """
    return {name: list(_read_lines(folder / name, line_type)) for name, line_type in task.files.items()}


def _read_lines(path: Path, line_type: type) -> Iterable[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is missing; a comparison needs the whole folder of a report")
    names = {field.name for field in fields(line_type)}
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            try:
                values = json.loads(text)
                if set(values) != names:
                    raise ValueError(f"it has {sorted(values)}")
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"{path}:{number}: not a line of a report ({error}); evaluate that model again"
                ) from None
            yield line_type(**values)

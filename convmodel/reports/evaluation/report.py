"""The report of an evaluation, and its files: report.json and the lines that its numbers were computed from."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from convmodel.data.json_file import read_json_object, refuse_lfs_pointer
from convmodel.reports.evaluation.examples import EvaluationOptions
from convmodel.reports.evaluation.task import Lines

REPORT = "report.json"
PAGE = "report.html"
COMPARISON = "comparison.json"

AGAIN = "evaluate that model again"

FORMAT = 1
"""Version of the report's files; raised when older reports can no longer be read."""


@dataclass(frozen=True)
class Number:
    """A `Metric` over all examples, with the bounds of its confidence interval and its value for the gold replies.

    Numbers that are not finite are None, and so is `gold` of a metric that is not defined for gold replies alone.
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
        """Return the metric of this name; raise KeyError when there is none."""
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


def write_json(path: Path, value: Any) -> None:
    """Write a dataclass as indented JSON, for files that people read too."""
    text = json.dumps(asdict(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def write_lines(path: Path, lines: Iterable[Any]) -> None:
    """Write one JSON object for each dataclass."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(json.dumps(asdict(line), ensure_ascii=False, allow_nan=False) + "\n")


def load_report(path: str | os.PathLike[str]) -> tuple[EvaluationReport, Path]:
    """Read a report from its folder, or from the report.json in it; return it with the folder that holds its lines.

    Raises:
        FileNotFoundError: when there is no report.
        ValueError: when the file cannot be read as a report.
    """
    file = Path(path) / REPORT if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such report; give a folder that python -m convmodel evaluate wrote")
    values = read_json_object(file, remedy=AGAIN)
    try:
        numbers = [_typed(Number, metric) for metric in values.pop("metrics")]
        report: EvaluationReport = _typed(EvaluationReport, values | {"metrics": numbers})
        report.evaluation_options()
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file}: not a report of this version of convmodel ({error}); {AGAIN}") from None
    if report.format != FORMAT:
        raise ValueError(f"{file}: has format {report.format}, this version reads {FORMAT}; {AGAIN}")
    return report, file.parent


def load_lines(folder: Path, files: Mapping[str, type]) -> Lines:
    """Read the lines of a report, given the dataclass of the lines of each file.

    Raises:
        FileNotFoundError: when one of the files is missing.
        ValueError: for an invalid line, with the file and the line number.
    """
    return {name: list(_read_lines(folder / name, line_type)) for name, line_type in files.items()}


def _read_lines(path: Path, line_type: type) -> Iterable[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is missing; a comparison needs the whole folder of a report")
    refuse_lfs_pointer(path)
    names = {field.name for field in fields(line_type)}
    with open(path, "rb") as file:
        for line, text in enumerate(file, 1):
            try:
                values = json.loads(text.decode())
                if set(values) != names:
                    raise ValueError(f"it has {sorted(values)}")
                yield _typed(line_type, values)
            except (ValueError, TypeError) as error:
                raise ValueError(f"{path}:{line}: not a line of a report ({error}); {AGAIN}") from None


def _typed(cls: type, values: Any) -> Any:
    """Return a dataclass of JSON values; raise ValueError or TypeError for fields or values that it cannot have."""
    if not isinstance(values, dict):
        raise ValueError(f"{values!r:.60} is not an object")
    hints = get_type_hints(cls)
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            raise ValueError(f"{name} is {value!r:.60}")
    return cls(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a JSON value is of a type: a plain one, a list, a mapping, a union of them, or any."""
    origin = get_origin(hint)
    arguments = get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is Mapping:
        return isinstance(value, dict) and all(_fits(item, arguments[1]) for item in value.values())
    if origin in (list, Sequence):
        return isinstance(value, list) and all(_fits(item, arguments[0]) for item in value)
    if hint is float:
        return type(value) in (int, float)
    return hint is Any or type(value) is hint

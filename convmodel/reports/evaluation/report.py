"""Report of an evaluation, and its files: report.json, and the lines from which its numbers were computed."""

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
"""Version of the report's files. It is increased when older reports can no longer be read."""


@dataclass(frozen=True)
class Number:
    """Value of a `Metric` over all examples. Numbers that are not finite are None.

    Args:
        name, family, meaning, better: see `Metric`.
        value: value for the model's texts.
        low: lower bound of the confidence interval.
        high: upper bound of the confidence interval.
        gold: value for the gold texts; None if the metric is not defined for them.
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
    """Report of a model on some data. It does not contain the date or the duration of the evaluation.

    Args:
        kind: name of the task.
        summary: description of the evaluation in one sentence.
        model: facts about the model: `source` as given by the user, `fingerprint` and sizes.
        data: facts about the data: `source` as given by the user, `fingerprint` and sizes.
        options: options of the evaluation that the task uses.
        used: settings derived from the options, such as the complete decoding configuration.
        signatures: by metric, the settings that must be equal for numbers to be comparable.
        versions: versions of the libraries that computed the numbers.
        notes: caveats for the reader.
        metrics: values of all metrics.
        curves: points (x, y) by the title of a curve and the name of a series.
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
    curves: Mapping[str, Mapping[str, Sequence[Sequence[float]]]] = field(default_factory=dict)
    format: int = FORMAT

    def __getitem__(self, name: str) -> Number:
        """Return the metric of a name. Raises KeyError if there is none."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(f"{name!r}; there are {', '.join(metric.name for metric in self.metrics)}")

    def evaluation_options(self) -> EvaluationOptions:
        """Return the options of the evaluation."""
        return EvaluationOptions(**self.options)


def finite(value: float | None) -> float | None:
    """Return a number for JSON: None in place of nan and infinities."""
    return value if value is not None and math.isfinite(value) else None


def write_json(path: Path, value: Any) -> None:
    """Write a dataclass as indented, human-readable JSON."""
    text = json.dumps(asdict(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def write_lines(path: Path, lines: Iterable[Any]) -> None:
    """Write dataclasses as JSON Lines."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(json.dumps(asdict(line), ensure_ascii=False, allow_nan=False) + "\n")


def load_report(path: str | os.PathLike[str]) -> tuple[EvaluationReport, Path]:
    """Return a report and its folder.

    Args:
        path: folder of the report, or path of its report.json.

    Raises:
        FileNotFoundError: if there is no report.
        ValueError: if the file cannot be read as a report.
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
    """Read the lines of a report. `files` has the dataclass of the lines of each file.

    Raises:
        FileNotFoundError: if one of the files is missing.
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
    """Return an instance of a dataclass from a JSON object.

    Raises ValueError or TypeError for unknown or missing fields, or values of another type.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{values!r:.60} is not an object")
    hints = get_type_hints(cls)
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            raise ValueError(f"{name} is {value!r:.60}")
    return cls(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a JSON value has the type of a hint: a plain type, list, mapping, union of these, or `Any`."""
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

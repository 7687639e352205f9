"""Evaluate a model on a file, and save the evaluation to a folder."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib import metadata
from pathlib import Path

import convmodel
from convmodel.data.atomic import atomic_folder
from convmodel.data.document import DataFileError, DocumentReader
from convmodel.data.options import ReadOptions
from convmodel.data.reader import Source, source_name
from convmodel.generation.request import derive_seed
from convmodel.metrics.bootstrap import percentile_interval, resample
from convmodel.models.folder import check_replaceable, has_file
from convmodel.reports.evaluation import report as reports
from convmodel.reports.evaluation.comparison import Comparison, compare
from convmodel.reports.evaluation.document_generation import DocumentGeneration
from convmodel.reports.evaluation.examples import EvaluationOptions
from convmodel.reports.evaluation.presentation import render
from convmodel.reports.evaluation.reply_generation import ReplyGeneration
from convmodel.reports.evaluation.response_selection import ResponseSelection
from convmodel.reports.evaluation.task import EvaluationTask, Lines, MetricResults, RunRequest

TASKS: dict[str, EvaluationTask] = {
    task.name: task for task in (ResponseSelection(), DocumentGeneration(), ReplyGeneration())
}
"""Tasks by their name in reports. The last task is the default for a model without a marker file."""

DEFAULT_OUTPUT = Path("evaluation")
"""Folder in which reports are saved if no folder is given."""

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "sacrebleu", "regex")
"""Libraries whose versions are reported, because they may change the numbers."""


@dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation.

    Args:
        report: the report.
        lines: results of the examples, from which the report was computed.
        comparison: comparison with another model, or None.
    """

    report: reports.EvaluationReport
    lines: Lines
    comparison: Comparison | None = None

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Evaluation":
        """Read a folder written by `save`, without the comparison, which `compared_with` computes again.

        Raises:
            FileNotFoundError, ValueError: if there is no report, or a file of it cannot be read.
        """
        report, report_folder = reports.load_report(folder)
        if report.kind not in TASKS:
            raise ValueError(f"{folder}: has the unknown kind {report.kind!r}; allowed are {', '.join(TASKS)}")
        return cls(report, reports.load_lines(report_folder, TASKS[report.kind].files))

    @property
    def task(self) -> EvaluationTask:
        """The task of the model."""
        return TASKS[self.report.kind]

    def compared_with(self, other: str | os.PathLike[str]) -> "Evaluation":
        """Return this evaluation with a comparison to another report.

        Args:
            other: folder of the other report, or path of its report.json.

        Raises:
            FileNotFoundError, ValueError: if there is no such report, or its examples differ.
        """
        loaded = Evaluation.load(other)
        if loaded.task != self.task:
            raise ValueError(f"{other}: is of a model for {loaded.task.name}; this one is for {self.task.name}")
        other_model = {"report": os.fspath(other), **loaded.report.model}
        options = self.report.evaluation_options()
        try:
            comparison = compare(self.task, self.lines, loaded.lines, other_model=other_model, options=options)
        except ValueError as error:
            raise ValueError(f"{other}: {error}") from error
        return replace(self, comparison=comparison)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write report.json, report.html, the lines, and comparison.json if there is a comparison.

        An older report in the folder is replaced atomically.

        Raises:
            FileExistsError: if the folder holds files that are not part of a report.
        """
        check_output(folder)
        with atomic_folder(folder) as fresh:
            reports.write_json(fresh / reports.REPORT, self.report)
            for name, lines in self.lines.items():
                reports.write_lines(fresh / name, lines)
            if self.comparison is not None:
                reports.write_json(fresh / reports.COMPARISON, self.comparison)
            page = render(
                self.report,
                self.comparison,
                histograms=self.task.histograms(self.lines),
                curves=self.task.curves(self.lines),
                ranked_cards=self.task.ranked_cards(self.lines),
                card_headings=self.task.card_headings,
            )
            (fresh / reports.PAGE).write_text(page, encoding="utf-8", newline="\n")


def evaluate(
    model: str | os.PathLike[str],
    data: Source,
    *,
    kind: str | None = None,
    options: EvaluationOptions = EvaluationOptions(),  # noqa: B008 (frozen)
    device: str | None = None,
    read_options: ReadOptions | None = None,
    base: str | os.PathLike[str] | None = None,
    fusion: bool = True,
) -> Evaluation:
    """Evaluate a model that generates replies, selects replies, or generates documents.

    The same model, data and options give exactly the same report.

    Args:
        model: folder or Hub name.
        data: file in any format, folder, glob, hub://..., or a list of them. It holds conversations; for a selector,
            also replies with candidates; for a document model, documents.
        kind: name of the task, for a folder that does not determine it; "documents" evaluates a GPT-2 that is not a
            document model on documents.
        options: options of the evaluation.
        device: "cpu", "cuda", ...; if None, an accelerator if there is one.
        read_options: options of the reader of `data`.
        base: base model, if `model` is an adapter; by default the one that the adapter names.
        fusion: whether a selector uses its `fusion.json`; see `Selector.from_pretrained`.

    Raises:
        FileNotFoundError, ValueError: for a model or data that cannot be read, and options that are invalid or have no
            effect on this kind of model.
    """
    task = task_of(model, kind)
    options = _check_options(task, options)
    try:
        result = task.run(RunRequest(os.fspath(model), data, options, device, read_options, base, fusion))
    except DataFileError as error:
        if isinstance(task, ReplyGeneration) and _holds_documents(data, read_options):
            raise ValueError(
                f"{source_name(data)}: holds documents; measure this model on them with --as documents"
            ) from error
        raise
    metrics = task.compute_metrics(result.lines, options)
    report = reports.EvaluationReport(
        kind=task.name,
        summary=metrics.summary,
        model=result.model,
        data=result.data,
        options={name: value for name, value in asdict(options).items() if name in task.options},
        used=result.used,
        signatures=metrics.signatures,
        versions={"convmodel": convmodel.__version__, **{name: metadata.version(name) for name in LIBRARIES}},
        notes=[*result.notes, *metrics.notes],
        metrics=_numbers(metrics, options),
        curves={
            curve.title: {name: [list(point) for point in points] for name, points in curve.series.items()}
            for curve in task.curves(result.lines)
        },
    )
    return Evaluation(report, result.lines)


def task_of(model: str | os.PathLike[str], kind: str | None = None) -> EvaluationTask:
    """Return the task that evaluates a model. Raises ValueError if the task `kind` cannot evaluate it."""
    *marked, default = TASKS.values()
    # A folder without any marker file gets the default task, whose error says what is missing.
    task = next((task for task in marked if has_file(model, task.marker_file)), default)
    if kind is None or kind == task.name:
        return task
    if kind not in TASKS:
        raise ValueError(f"there is no kind {kind!r}; allowed are {', '.join(TASKS)}")
    if task is default and TASKS[kind].accepts_plain_model:
        return TASKS[kind]
    raise ValueError(
        f"{os.fspath(model)}: holds a model for {task.name} ({task.marker_file}), which cannot be evaluated as one for "
        f"{kind}; leave --as out"
    )


def _holds_documents(data: Source, read_options: ReadOptions | None) -> bool:
    """Return whether a file has lines with the body of a document."""
    try:
        reader = DocumentReader(data, read_options)
        return reader.format in ("jsonl", "python") and next(iter(reader), None) is not None
    except (ValueError, OSError):
        return False


def _check_options(task: EvaluationTask, options: EvaluationOptions) -> EvaluationOptions:
    """Return the options, with the task's default limit if none is given.

    Raises ValueError for options that have no effect on the task.
    """
    names = [field.name for field in fields(options)]
    for name in names:
        value = getattr(options, name)
        if name in task.options or value == getattr(EvaluationOptions(), name):
            continue
        subject = f"the options of decoding, {dict(value)}, have" if name == "decoding" else f"{name}={value!r} has"
        raise ValueError(
            f"{subject} no effect on a model for {task.name}; leave it out. Such a model follows "
            f"{', '.join(name for name in names if name in task.options)}"
        )
    return replace(options, limit=task.default_limit) if options.limit is None else options


def check_output(folder: str | os.PathLike[str]) -> None:
    """Raise FileExistsError if a folder holds files other than those of an older report."""
    files = {
        reports.REPORT,
        reports.PAGE,
        reports.COMPARISON,
        *(name for task in TASKS.values() for name in task.files),
    }
    check_replaceable(folder, what="a report", belongs=files.__contains__)


def default_output(report: reports.EvaluationReport) -> Path:
    """Return the default folder of a report. Reports of other models, data or options have other folders."""
    parts = (report.model["fingerprint"], report.data["fingerprint"], repr(sorted(report.options.items())))
    name = f"{_stem(report.model['source'])}-{_stem(report.data['source'])}-{derive_seed(*parts):016x}"
    return DEFAULT_OUTPUT / name[:-8]


def _stem(name: str) -> str:
    last = name.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1].partition("?")[0]
    return last.removesuffix(".gz").rpartition(".")[0] or last


def _numbers(results: MetricResults, options: EvaluationOptions) -> Sequence[reports.Number]:
    """Return the value and the confidence interval of each metric."""
    numbers = []
    for group in results.groups:
        resamples = resample(group, resamples=options.resamples, seed=options.seed)
        for metric, values in zip(group, resamples, strict=True):
            low, high = map(reports.finite, percentile_interval(values, options.confidence))
            gold = None if metric.gold is None else reports.finite(metric.gold.value)
            described = (metric.name, metric.family, metric.meaning, metric.better)
            numbers.append(reports.Number(*described, reports.finite(metric.value), low, high, gold))
    return numbers

"""A model and conversations in, an evaluation out, which saves itself as a folder."""

import importlib.metadata
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import convmodel
from convmodel.data.atomic import atomic_folder
from convmodel.data.conversation import OnError
from convmodel.data.document import DataFileError, DocumentReader
from convmodel.generation.seeds import derive_seed
from convmodel.metrics.bootstrap import interval, resampled
from convmodel.models.folder import check_replaceable, has_file
from convmodel.reports.evaluation.comparison import Comparison, compare
from convmodel.reports.evaluation.document_generation import WRITING_DOCUMENTS
from convmodel.reports.evaluation.examples import Options
from convmodel.reports.evaluation.page import page
from convmodel.reports.evaluation.reply_generation import WRITING
from convmodel.reports.evaluation.report import (
    COMPARISON,
    PAGE,
    REPORT,
    Number,
    Report,
    as_json,
    finite,
    load_lines,
    load_report,
    write_lines,
)
from convmodel.reports.evaluation.response_selection import CHOOSING
from convmodel.reports.evaluation.task import EvaluationRun, EvaluationTask, Lines, MetricResults

KINDS: dict[str, EvaluationTask] = {kind.name: kind for kind in (CHOOSING, WRITING_DOCUMENTS, WRITING)}
"""By the name that stands in reports. The last one is taken for what has the file of none."""

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "sacrebleu", "regex")
"""Whose versions may change a number."""


@dataclass(frozen=True)
class Evaluation:
    """A report, the lines that it was made from, and what it was compared with.

    Args:
        report: the numbers.
        lines: example by example, by the name of their file.
        comparison: with another model, when there was one.
    """

    report: Report
    lines: Lines
    comparison: Comparison | None = None

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Evaluation":
        """Reads what `save` wrote, without the comparison: it is quickly made again.

        Raises:
            FileNotFoundError, ValueError: when there is none, or something in it cannot be read.
        """
        report, place = load_report(folder)
        if report.kind not in KINDS:
            raise ValueError(f"{folder}: is of a kind of model that this version does not know, {report.kind!r}")
        return cls(report, load_lines(place, KINDS[report.kind]))

    @property
    def kind(self) -> EvaluationTask:
        """Of the model."""
        return KINDS[self.report.kind]

    def compared_with(self, other: str | os.PathLike[str]) -> "Evaluation":
        """The same, compared with the report of another model.

        Args:
            other: the folder of a report, or the report.json in it.

        Raises:
            FileNotFoundError, ValueError: when there is no such report, or it is of other examples.
        """
        theirs = Evaluation.load(other)
        if theirs.kind != self.kind:
            raise ValueError(f"{other}: is of a model for {theirs.kind.name}; this one is for {self.kind.name}")
        about = {"report": os.fspath(other), **theirs.report.model}
        try:
            found = compare(self.kind, self.lines, theirs.lines, other=about, options=self.report.asked())
        except ValueError as error:
            raise ValueError(f"{other}: {error}") from error
        return replace(self, comparison=found)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes report.json, report.html, the lines, and comparison.json if there is one; all appear in one step.

        Raises:
            FileExistsError: when the folder holds files that are no part of a report.
        """
        check_output(folder)
        with atomic_folder(folder) as fresh:
            (fresh / REPORT).write_text(as_json(asdict(self.report)), encoding="utf-8", newline="\n")
            for name, lines in self.lines.items():
                write_lines(fresh / name, lines)
            if self.comparison is not None:
                (fresh / COMPARISON).write_text(as_json(asdict(self.comparison)), encoding="utf-8", newline="\n")
            shown = page(
                self.report,
                self.comparison,
                histograms=self.kind.histograms(self.lines),
                ranked=self.kind.ranked(self.lines),
                sides=self.kind.sides,
            )
            (fresh / PAGE).write_text(shown, encoding="utf-8", newline="\n")


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    kind: str | None = None,
    options: Options = Options(),  # noqa: B008 (frozen)
    device: str | None = None,
    on_error: OnError = "stop",
) -> Evaluation:
    """Measures a model that writes replies, chooses them, or writes documents.

    The same model, data and options give the same report to the digit.

    Args:
        model: a folder, or a Hub name.
        data: a file in any format, or hub://...: conversations, for a model that chooses also replies with given
            candidates, and documents for a model of these.
        kind: what the model is measured as, where its folder does not say: "documents" for a plain GPT-2.
        options: everything else that the numbers depend on.
        device: "cpu", "cuda", ...; an accelerator when there is one, when left out.
        on_error: what to do with a line that cannot be read.

    Raises:
        FileNotFoundError, ValueError: for a model or data that cannot be read, and options that cannot be followed or
            mean nothing for this model.
    """
    which = kind_of(model, kind)
    options = _followed(which, options)
    try:
        measured = which.run(EvaluationRun(os.fspath(model), os.fspath(data), options, device, on_error))
    except DataFileError as error:
        if which is WRITING and _holds_documents(data):
            raise ValueError(f"{data}: holds documents; measure this model on them with --as documents") from error
        raise
    found = which.find(measured.lines, options)
    report = Report(
        kind=which.name,
        summary=found.summary,
        model=measured.model,
        data=measured.data,
        options={name: value for name, value in asdict(options).items() if name in which.options},
        used=measured.used,
        signatures=found.signatures,
        versions=_versions(),
        notes=[*measured.notes, *found.notes],
        metrics=_numbers(found, options),
    )
    return Evaluation(report, measured.lines)


def kind_of(model: str | os.PathLike[str], asked: str | None = None) -> EvaluationTask:
    """The kind of a model.

    Args:
        model: a folder, or a Hub name.
        asked: what it is to be taken for.

    Raises:
        ValueError: when it is of another kind.
    """
    *kinds, usual = KINDS.values()
    found = next((kind for kind in kinds if has_file(model, kind.made_of)), usual)  # the usual one says what is missing
    if asked is None or asked == found.name:
        return found
    if asked not in KINDS:
        raise ValueError(f"there is no kind {asked!r}; allowed are {', '.join(KINDS)}")
    if found is usual and KINDS[asked].plain:
        return KINDS[asked]
    raise ValueError(
        f"{os.fspath(model)}: holds a model for {found.name} ({found.made_of}), which cannot be measured as one for "
        f"{asked}; leave --as out"
    )


def _holds_documents(data: str | os.PathLike[str]) -> bool:
    """Whether a file can be nothing but documents: lines with bodies."""
    try:
        reader = DocumentReader(data)
        return reader.format in ("jsonl", "python") and next(iter(reader), None) is not None
    except (ValueError, OSError):
        return False


def _followed(kind: EvaluationTask, options: Options) -> Options:
    """Options with the kind's own limit where none is given.

    Raises:
        ValueError: for options that mean nothing for the kind.
    """
    for name in (each.name for each in fields(options) if each.name not in kind.options):
        value, left_out = getattr(options, name), getattr(Options(), name)
        if value != left_out:
            told = f"{name}={value!r} means"
            if name == "decoding":
                told = f"the options of decoding, {dict(value)}, mean"
            raise ValueError(
                f"{told} nothing for a model for {kind.name}; leave it out. Such a model follows "
                f"{', '.join(each.name for each in fields(options) if each.name in kind.options)}"
            )
    return replace(options, limit=kind.limit) if options.limit is None else options


def check_output(folder: str | os.PathLike[str]) -> None:
    """Makes sure that saving a report to a folder removes nothing but an older report.

    Raises:
        FileExistsError: when something else is there.
    """
    files = {REPORT, PAGE, COMPARISON, *(name for kind in KINDS.values() for name in kind.files)}
    check_replaceable(folder, what="a report", belongs=files.__contains__)


def default_output(report: Report) -> Path:
    """Where a report goes when nobody says: another model, data or options go elsewhere, so that older ones stay."""
    parts = (report.model["fingerprint"], report.data["fingerprint"], repr(sorted(report.options.items())))
    name = f"{_stem(report.model['source'])}-{_stem(report.data['source'])}-{derive_seed(*parts):016x}"
    return Path("evaluation") / name[:-8]


def _stem(name: str) -> str:
    last = name.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1].partition("?")[0]
    return last.removesuffix(".gz").rpartition(".")[0] or last


def _numbers(found: MetricResults, options: Options) -> Sequence[Number]:
    numbers = []
    for group in found.groups:
        drawn = resampled(group, resamples=options.resamples, seed=options.seed)
        for metric, values in zip(group, drawn, strict=True):
            low, high = interval(values, options.confidence)
            numbers.append(
                Number(
                    name=metric.name,
                    family=metric.family,
                    meaning=metric.meaning,
                    better=metric.better,
                    value=finite(metric.value),
                    low=finite(low),
                    high=finite(high),
                    gold=None if metric.gold is None else finite(metric.gold.value),
                )
            )
    return numbers


def _versions() -> dict[str, str]:
    return {
        "convmodel": convmodel.__version__,
        **{library: importlib.metadata.version(library) for library in LIBRARIES},
    }

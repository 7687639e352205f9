"""Interface of evaluation tasks. Each kind of model has a subclass, in its own module."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from convmodel.data.options import ReadOptions
from convmodel.data.reader import Source
from convmodel.generation.options import PRESETS
from convmodel.metrics.metric import Metric
from convmodel.reports.evaluation.examples import EvaluationOptions
from convmodel.reports.plots import Curve, Histogram

Lines = Mapping[str, Sequence[Any]]
"""Lines of a report by file name: frozen dataclasses of plain values, from which all numbers are computed."""


@dataclass(frozen=True)
class RunRequest:
    """Arguments of `evaluate` except `kind`. `options` has the default limit of the task if none was given."""

    model: str
    data: Source
    options: EvaluationOptions
    device: str | None = None
    read_options: ReadOptions | None = None
    base: str | os.PathLike[str] | None = None
    fusion: bool = True


@dataclass(frozen=True)
class RunResult:
    """Results of a model on the data. The fields other than `lines` are those of `EvaluationReport`."""

    model: Mapping[str, Any]
    data: Mapping[str, Any]
    lines: Lines
    used: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class MetricResults:
    """Metrics computed from the lines of a report.

    Args:
        summary, signatures, notes: see `EvaluationReport`.
        groups: groups of metrics. Metrics of one group have the same units, and are resampled together.
    """

    summary: str
    groups: Sequence[Sequence[Metric]]
    signatures: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Card:
    """An example for display on the page.

    Args:
        context: turns or prompt.
        responses: texts by their source, such as "gold" and "model".
        persona: persona sentences, or the meta of a document.
        facts: numbers about the example, by name.
    """

    context: Sequence[str]
    responses: Mapping[str, str]
    persona: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


class EvaluationTask(ABC):
    """Evaluation of one kind of model.

    Attributes:
        name: name of the task in reports.
        marker_file: file by which the folder of such a model is recognised.
        options: names of the options that apply to the task; all others are rejected.
        default_limit: value of `EvaluationOptions.limit` if none is given.
        card_headings: headings above the best and the worst examples.
        files: dataclass of the lines of each file in which lines are saved.
        remedy: options that make two models comparable, for an error message.
        presets: presets of decoding options, by name.
        accepts_plain_model: whether the task also evaluates a language model without the marker file, such as GPT-2.
    """

    name: ClassVar[str]
    marker_file: ClassVar[str]
    options: ClassVar[frozenset[str]]
    default_limit: ClassVar[int]
    card_headings: ClassVar[tuple[str, str]]
    files: ClassVar[Mapping[str, type]]
    remedy: ClassVar[str]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    accepts_plain_model: ClassVar[bool] = False

    @abstractmethod
    def run(self, request: RunRequest) -> RunResult:
        """Read the data, load the model, and run it on the data."""

    @abstractmethod
    def compute_metrics(self, lines: Lines, options: EvaluationOptions) -> MetricResults:
        """Compute all metrics from the lines of a run."""

    @abstractmethod
    def inputs(self, lines: Lines) -> Mapping[str, Sequence[Any]]:
        """Return the inputs that must be equal for two models to be comparable, by a plural noun for messages."""

    @abstractmethod
    def histograms(self, lines: Lines) -> Sequence[Histogram]:
        """Return the histograms of the page."""

    def curves(self, lines: Lines) -> Sequence[Curve]:
        """Return the curves of the report and the page."""
        return ()

    @abstractmethod
    def ranked_cards(self, lines: Lines) -> Sequence[Card]:
        """Return all examples as cards, best first."""

    def check_comparable(self, lines: Lines, other: Lines) -> None:
        """Raise ValueError if the lines of two models have different inputs."""
        other_inputs = self.inputs(other)
        for noun, inputs in self.inputs(lines).items():
            check_same(noun, inputs, other_inputs[noun], remedy=self.remedy)


def check_same(noun: str, this: Sequence[Any], other: Sequence[Any], *, remedy: str) -> None:
    """Raise ValueError if the inputs of two models differ. `noun` names them in the message; `remedy` ends it."""
    if this == other:
        return
    differing = (index for index, (a, b) in enumerate(zip(this, other, strict=False), 1) if a != b)
    index = next(differing, None)
    detail = f"{len(this):,} here, {len(other):,} there" if index is None else f"the first that differs is {index}"
    raise ValueError(f"the other report is of other {noun} ({detail}); evaluate both models on the same file {remedy}")

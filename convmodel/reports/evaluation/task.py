"""The interface of an evaluation task: each kind of model is evaluated by one subclass, in a module of its own."""

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
from convmodel.reports.plots import Histogram

Lines = Mapping[str, Sequence[Any]]
"""The lines of each file of a report: frozen dataclasses of plain values, from which all numbers are computed."""


@dataclass(frozen=True)
class RunRequest:
    """The arguments of `evaluate` without the kind, with the limit of the task where none was given."""

    model: str
    data: Source
    options: EvaluationOptions
    device: str | None = None
    read_options: ReadOptions | None = None
    base: str | os.PathLike[str] | None = None
    fusion: bool = True


@dataclass(frozen=True)
class RunResult:
    """The output of a model on the data; the fields other than `lines` are those of `EvaluationReport`."""

    model: Mapping[str, Any]
    data: Mapping[str, Any]
    lines: Lines
    used: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class MetricResults:
    """Metrics computed from the lines of a report; those over the same units are in one group, resampled together."""

    summary: str
    groups: Sequence[Sequence[Metric]]
    signatures: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Card:
    """An example, formatted for reading; `responses` are by their source, such as "gold" and "model"."""

    context: Sequence[str]
    responses: Mapping[str, str]
    persona: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


class EvaluationTask(ABC):
    """The evaluation of one kind of model.

    Attributes:
        name: name of the task in reports.
        marker_file: the file that marks a folder as one of such a model.
        options: names of the options that apply to the task; it rejects all others.
        default_limit: the `EvaluationOptions.limit` used when none is given.
        card_headings: headings above the best and the worst examples.
        files: for each file that the lines are saved in, the dataclass of its lines.
        remedy: the options that make two models comparable, for the error message.
        accepts_plain_model: whether it evaluates the folder of a plain GPT-2 too, which has no marker file.
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
        """Load the model and run it on the data; each task reads the data in its own way."""

    @abstractmethod
    def compute_metrics(self, lines: Lines, options: EvaluationOptions) -> MetricResults:
        """Compute all metrics from the lines of a run."""

    @abstractmethod
    def inputs(self, lines: Lines) -> Mapping[str, Sequence[Any]]:
        """Return the inputs that must be equal for two models to be compared, by a plural noun."""

    @abstractmethod
    def histograms(self, lines: Lines) -> Sequence[Histogram]:
        """Return the distributions that the page shows."""

    @abstractmethod
    def ranked_cards(self, lines: Lines) -> Sequence[Card]:
        """Return all examples as cards, best first."""

    def check_comparable(self, lines: Lines, other: Lines) -> None:
        """Raise ValueError unless both models were run on the same inputs."""
        other_inputs = self.inputs(other)
        for noun, inputs in self.inputs(lines).items():
            check_same(noun, inputs, other_inputs[noun], remedy=self.remedy)


def check_same(noun: str, this: Sequence[Any], other: Sequence[Any], *, remedy: str) -> None:
    """Raise ValueError unless two models were evaluated on the same inputs, which a plural noun names."""
    if this == other:
        return
    differing = (index for index, (a, b) in enumerate(zip(this, other, strict=False), 1) if a != b)
    index = next(differing, None)
    detail = f"{len(this):,} here, {len(other):,} there" if index is None else f"the first that differs is {index}"
    raise ValueError(f"the other report is of other {noun} ({detail}); evaluate both models on the same file {remedy}")

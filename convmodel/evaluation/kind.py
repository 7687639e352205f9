"""What a kind of model must bring to be evaluated; one file for each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convmodel.conversation import Conversation
from convmodel.evaluation.examples import Options
from convmodel.metrics.metric import Metric

Lines = Mapping[str, Sequence[Any]]
"""For each file of a report, its lines: frozen dataclasses of plain values, from which all numbers are made."""


@dataclass(frozen=True)
class Measured:
    """What running a model left.

    Args:
        model: facts about it, its `fingerprint` among them.
        lines: what it did, example by example.
        used: what else it was run with, such as the whole decoding.
    """

    model: Mapping[str, Any]
    lines: Lines
    used: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What the lines come to.

    Args:
        summary: what was measured, in a sentence.
        groups: metrics over the same units together: they are drawn together.
        signatures: what must be the same for numbers to be comparable, by the name of the metric.
        notes: what a reader should know before trusting a number.
    """

    summary: str
    groups: Sequence[Sequence[Metric]]
    signatures: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Histogram:
    """Values whose spread is drawn.

    Args:
        title: what is drawn.
        label: of the axis of values.
        series: values by name, "model" first.
        bins: their edges are at whole numbers when None, so many between the smallest and the largest otherwise.
    """

    title: str
    label: str
    series: Mapping[str, Sequence[float]]
    bins: int | None = 25


@dataclass(frozen=True)
class Card:
    """An example as a person reads it.

    Args:
        context: the turns so far.
        said: what was said next, by who or what said it.
        persona: of the one who replies.
        facts: its numbers, by name.
    """

    context: Sequence[str]
    said: Mapping[str, str]
    persona: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Args:
        name: as it stands in reports.
        files: the files that its lines are saved in, and the dataclass of the lines of each.
        run: a model's folder, conversations, options and device in, what the model did out.
        find: lines and options in, metrics out.
        alike: raises ValueError unless the lines of two models are of the same examples.
        histograms: lines in, what is drawn out.
        ranked: lines in, all examples as cards out, best first.
    """

    name: str
    files: Mapping[str, type]
    run: Callable[[str, Sequence[Conversation], Options, str | None], Measured]
    find: Callable[[Lines, Options], Found]
    alike: Callable[[Lines, Lines], None]
    histograms: Callable[[Lines], Sequence[Histogram]]
    ranked: Callable[[Lines], Sequence[Card]]

"""What a kind of model must bring to be evaluated; one file for each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convmodel.data.conversation import OnError
from convmodel.generation.options import PRESETS
from convmodel.metrics.metric import Metric
from convmodel.reports.evaluation.examples import Options

Lines = Mapping[str, Sequence[Any]]
"""For each file of a report, its lines: frozen dataclasses of plain values, from which all numbers are made."""


@dataclass(frozen=True)
class EvaluationRun:
    """What is to be measured.

    Args:
        model: a folder, or a Hub name.
        data: a file, or an address; each kind reads it in its own way.
        options: everything else that the numbers depend on.
        device: "cpu", "cuda", ...; an accelerator when there is one, when None.
        on_error: what to do with what in the data cannot be read.
    """

    model: str
    data: str
    options: Options
    device: str | None = None
    on_error: OnError = "stop"


@dataclass(frozen=True)
class RunResult:
    """What running a model left.

    Args:
        model: facts about it, its `fingerprint` among them.
        data: facts about what was read, its `fingerprint` among them.
        lines: what it did, example by example.
        used: what else it was run with, such as the whole decoding.
        notes: what of all this a reader should know before trusting a number.
    """

    model: Mapping[str, Any]
    data: Mapping[str, Any]
    lines: Lines
    used: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class MetricResults:
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
        series: values by name; the first is filled.
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


def check_same(what: str, mine: Sequence[Any], theirs: Sequence[Any], *, cure: str) -> None:
    """Makes sure that two models were asked the same.

    Args:
        what: is compared, in words.
        mine, theirs: one value for each of them.
        cure: what makes them the same.

    Raises:
        ValueError: when they are not.
    """
    if mine != theirs:
        where = next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False), 1) if a != b), None)
        first = f"{len(mine):,} here, {len(theirs):,} there" if where is None else f"the first that differs is {where}"
        raise ValueError(f"the other report is of other {what} ({first}); evaluate both models on the same file {cure}")


@dataclass(frozen=True)
class EvaluationTask:
    """A kind of model.

    Args:
        name: as it stands in reports.
        made_of: the file that makes a folder one of such a model.
        options: the names of those that it follows; it refuses all others.
        limit: the `Options.limit` that is meant when none is given.
        sides: the headings above its best and its worst examples.
        files: the files that its lines are saved in, and the dataclass of the lines of each.
        run: what is to be measured in, what the model did out.
        find: lines and options in, metrics out.
        alike: raises ValueError unless the lines of two models are of the same examples.
        histograms: lines in, what is drawn out.
        ranked: lines in, all examples as cards out, best first.
        presets: sets of options of decoding by name.
        plain: whether the folder of a plain GPT-2, which tells nothing of its kind, may be taken for one of it.
    """

    name: str
    made_of: str
    options: frozenset[str]
    limit: int
    sides: tuple[str, str]
    files: Mapping[str, type]
    run: Callable[[EvaluationRun], RunResult]
    find: Callable[[Lines, Options], MetricResults]
    alike: Callable[[Lines, Lines], None]
    histograms: Callable[[Lines], Sequence[Histogram]]
    ranked: Callable[[Lines], Sequence[Card]]
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: PRESETS)
    plain: bool = False

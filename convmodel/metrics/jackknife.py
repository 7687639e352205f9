"""What each unit says how often in; numbers of all that is said, and of all without one unit, out.

Numbers like "how many different words" are no sums over units, and the bootstrap treats them badly: a sample drawn with
replacement lacks more than a third of the units and has others twice, so that it shows far fewer different words than
the true sample, and its percentiles need not even hold the number that they are the interval of. What can be summed
instead is each unit's influence: the jackknife's pseudo-value U x - (U - 1) x_without_it. By the inequality of Efron
and Stein (1981) the spread that comes of these is not too small on average.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 11. For numbers of species it is the
jackknife of Heltshe and Forrester 1983.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

import numpy as np

Term = Callable[[np.ndarray], np.ndarray]
"""What a type that was said c times adds to a total, for an array of c; 0 for 0."""

Number = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""The total of all terms, and how often anything was said, in; the number out."""


def jackknife(said: Sequence[Counter[Hashable]], term: Term, number: Number) -> tuple[float, np.ndarray]:
    """A number of all that is said, and the pseudo-value of each of U units, moved so that their mean is the number.

    Args:
        said: for each unit, how often it says each type.
        term: what a type adds.
        number: made of the total of the terms and the number of things said.
    """
    everything: Counter[Hashable] = Counter()
    for mine in said:
        everything.update(mine)
    counts = {kind: place for place, kind in enumerate(everything)}
    total_of = np.fromiter(everything.values(), dtype=np.float64, count=len(everything))
    total, size = float(term(total_of).sum()), float(total_of.sum())
    without = np.empty((len(said), 2))
    for unit, mine in enumerate(said):
        at = [counts[kind] for kind in mine]
        mine_of = np.fromiter(mine.values(), dtype=np.float64, count=len(mine))
        without[unit, 0] = total + float((term(total_of[at] - mine_of) - term(total_of[at])).sum())
        without[unit, 1] = size - float(mine_of.sum())
    value = float(number(np.array(total), np.array(size)))
    others = number(without[:, 0], without[:, 1])
    others = np.where(np.isnan(others), value, others)  # a unit without which nothing is said
    units = len(said)
    influences = units * value - (units - 1) * others
    return value, influences - (influences.mean() if units else 0.0) + value


def different(counts: np.ndarray) -> np.ndarray:
    """1 for each type that is there: their total is the number of types."""
    return (counts > 0).astype(np.float64)


def c_log_c(counts: np.ndarray) -> np.ndarray:
    """c log c, from which entropies are made; 0 for 0."""
    return counts * np.log(np.maximum(counts, 1.0))


def repeated_count(counts: np.ndarray) -> np.ndarray:
    """c where a type was said more than once: their total is how many things were not said only once."""
    return np.where(counts > 1, counts, 0.0)


def share(total: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The total of the terms for each thing said; nan where nothing is said."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > 0, total / size, math.nan)


def entropy(total: np.ndarray, size: np.ndarray) -> np.ndarray:
    """log n - (sum of c log c) / n, in nats; nan where nothing is said."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > 0, np.maximum(np.log(size) - total / size, 0.0), math.nan)

"""Counts and texts of each unit in, the metrics that several kinds of model have out."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from convmodel.metrics import diversity
from convmodel.metrics.likelihood import bits, perplexity
from convmodel.metrics.metric import Metric, ratio, rows_of


def likelihood(
    nats: Sequence[float], tokens: Sequence[int], words: Sequence[int], sizes: Sequence[int], *, size: str
) -> list[Metric]:
    """Perplexity per token and per word, and bits for each of what texts are long in.

    Args:
        nats: (U,) minus the log-likelihood of each unit.
        tokens, words, sizes: (U,) how long each is.
        size: what the last one counts: "character", "byte".
    """

    def over(counts: Sequence[int]) -> np.ndarray:
        return rows_of(list(zip(nats, counts, strict=True)), range(len(nats)), columns=2)

    metric = partial(Metric, better="lower", family="Likelihood")
    return [
        metric(
            name="perplexity",
            rows=over(tokens),
            divide=perplexity,
            meaning="exp of the mean nats per predicted token; compares models of one vocabulary only",
            shared=1,  # as many tokens in each unit
        ),
        metric(
            name="perplexity_per_word",
            rows=over(words),
            divide=perplexity,
            meaning="exp of the same nats per word between white space; compares any vocabularies",
        ),
        metric(
            name=f"bits_per_{size}",
            rows=over(sizes),
            divide=bits,
            meaning=f"the same as bits per {size}; compares any vocabularies, in any script",
        ),
    ]


def variety(
    said: diversity.Units, gold: diversity.Units, *, what: str, alike: Sequence[float] | None = None
) -> list[Metric]:
    """Distinct-n, entropies, and what is said more than once.

    Args:
        said, gold: for each unit, its texts and the gold ones.
        what: the texts are: "replies".
        alike: (U,) numbers that two models must have in common to be compared, where that is not certain.
    """
    shared = None if alike is None else np.asarray(alike, dtype=np.float64)

    def metric(name: str, number: Callable[[diversity.Units], diversity.Number], meaning: str) -> Metric:
        return influences(name, number(said)[1], number(gold)[1], family="Variety", meaning=meaning, shared=shared)

    return [
        metric("distinct_1", partial(diversity.distinct, n=1), f"different words of all {what} / all their words"),
        metric("distinct_2", partial(diversity.distinct, n=2), f"different 2-grams of all {what} / all their 2-grams"),
        metric("entropy_1", partial(diversity.entropy, n=1), f"entropy of the words of all {what}, in nats"),
        metric("entropy_4", partial(diversity.entropy, n=4), f"entropy of the 4-grams of all {what}, in nats"),
        metric("said_again", diversity.repeated_share, f"share of the {what} that are said more than once"),
    ]


def influences(
    name: str, said: np.ndarray, gold: np.ndarray, *, family: str, meaning: str, shared: np.ndarray | None
) -> Metric:
    """A metric that is no sum; see `convmodel.metrics.jackknife`.

    Args:
        name, family, meaning: see `Metric`.
        said, gold: (U,) the influences of each unit.
        shared: (U,) what two models must have in common, where there is something.
    """
    more = [] if shared is None else [shared]
    rows, gold_rows = (np.stack([found, np.ones(len(found)), *more], axis=1) for found in (said, gold))
    return Metric(name, rows, _not_below_zero, "nearer", gold_rows, family, meaning, 2 if more else None)


def _not_below_zero(sums: np.ndarray) -> np.ndarray:
    return np.maximum(ratio(sums), 0.0)

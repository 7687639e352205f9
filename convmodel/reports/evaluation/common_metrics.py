"""Metrics that several evaluation tasks have in common."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from convmodel.metrics import diversity
from convmodel.metrics.likelihood import bits_per_character, perplexity
from convmodel.metrics.metric import Metric, ratio, sum_by_unit


def likelihood_family(
    nats: Sequence[float], tokens: Sequence[int], words: Sequence[int], sizes: Sequence[int], *, size: str
) -> list[Metric]:
    """Return perplexity per token and per word, and bits per character or byte.

    Args:
        nats: (U,) minus the log-likelihood of each unit.
        tokens: (U,) predicted tokens of each unit.
        words: (U,) words of each unit.
        sizes: (U,) characters or bytes of each unit.
        size: the unit of `sizes`: "character" or "byte".
    """

    def per(counts: Sequence[int]) -> np.ndarray:
        return sum_by_unit(list(zip(nats, counts, strict=True)), range(len(nats)), columns=2)

    metric = partial(Metric, better="lower", family="Likelihood")
    return [
        metric(
            name="perplexity",
            rows=per(tokens),
            divide=perplexity,
            meaning="exp of the mean nats per predicted token; compares models of one vocabulary only",
            shared=1,  # comparable only where both models predict equally many tokens in each unit
        ),
        metric(
            name="perplexity_per_word",
            rows=per(words),
            divide=perplexity,
            meaning="exp of the same nats per word between white space; compares any vocabularies",
        ),
        metric(
            name=f"bits_per_{size}",
            rows=per(sizes),
            divide=bits_per_character,
            meaning=f"the same as bits per {size}; compares any vocabularies, in any script",
        ),
    ]


def variety_family(
    texts: diversity.Units, gold: diversity.Units, *, noun: str, shared: Sequence[float] | None = None
) -> list[Metric]:
    """Return distinct-n, entropies, and the share of repeated texts.

    Args:
        texts: the model's texts of each unit.
        gold: the gold texts of each unit.
        noun: plural noun for the texts, such as "replies".
        shared: (U,) numbers that must be equal for two models to be comparable; None when they always are.
    """
    column = None if shared is None else np.asarray(shared, dtype=np.float64)

    def metric(name: str, number: Callable[[diversity.Units], diversity.Estimate], meaning: str) -> Metric:
        return jackknife_metric(
            name, number(texts)[1], number(gold)[1], family="Variety", meaning=meaning, shared=column
        )

    return [
        metric("distinct_1", partial(diversity.distinct, n=1), f"different words of all {noun} / all their words"),
        metric("distinct_2", partial(diversity.distinct, n=2), f"different 2-grams of all {noun} / all their 2-grams"),
        metric("entropy_1", partial(diversity.entropy, n=1), f"entropy of the words of all {noun}, in nats"),
        metric("entropy_4", partial(diversity.entropy, n=4), f"entropy of the 4-grams of all {noun}, in nats"),
        metric("said_again", diversity.repeated_share, f"share of the {noun} that occur more than once"),
    ]


def jackknife_metric(
    name: str, influences: np.ndarray, gold: np.ndarray, *, family: str, meaning: str, shared: np.ndarray | None
) -> Metric:
    """Return a metric that is not a sum over units; see `convmodel.metrics.jackknife`.

    Args:
        name: see `Metric`.
        influences: (U,) the influence of each unit on the model's number.
        gold: (U,) the influence of each unit on the number of the gold texts.
        family: see `Metric`.
        meaning: see `Metric`.
        shared: (U,) numbers that must be equal for two models to be comparable; None when they always are.
    """
    columns = [] if shared is None else [shared]
    rows = np.stack([influences, np.ones(len(influences)), *columns], axis=1)
    gold_rows = np.stack([gold, np.ones(len(gold)), *columns], axis=1)
    return Metric(name, rows, _at_least_zero, "nearer", gold_rows, family, meaning, 2 if columns else None)


def _at_least_zero(sums: np.ndarray) -> np.ndarray:
    values: np.ndarray = np.maximum(ratio(sums), 0.0)
    return values

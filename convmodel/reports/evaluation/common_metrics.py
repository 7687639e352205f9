"""Metrics that several evaluation tasks use."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from convmodel.metrics import diversity
from convmodel.metrics.likelihood import bits_per_character, perplexity
from convmodel.metrics.metric import Metric, ratio


def likelihood_family(columns: Iterable[Sequence[float]], *, size: str) -> list[Metric]:
    """Return perplexity per token and per word, and bits per character or byte.

    Args:
        columns: four columns (U,) for U units: negative log-likelihood in nats, numbers of tokens, numbers of words,
            and sizes.
        size: unit of the sizes: "character" or "byte".
    """
    nats, tokens, words, sizes = (np.asarray(column, dtype=np.float64) for column in columns)
    rows = (
        ("perplexity", tokens, "exp of the mean nats per predicted token; compares models of one vocabulary only"),
        ("perplexity_per_word", words, "exp of the same nats per word between white space; compares any vocabularies"),
        (f"bits_per_{size}", sizes, f"the same as bits per {size}; compares any vocabularies, in any script"),
    )
    metrics = []
    for name, counts, meaning in rows:
        divide = bits_per_character if counts is sizes else perplexity
        shared = 1 if counts is tokens else None  # models must predict equally many tokens in each unit
        pairs = np.stack([nats, counts], axis=1)
        metrics.append(Metric(name, pairs, divide, "lower", None, "Likelihood", meaning, shared))
    return metrics


def variety_family(
    texts: diversity.Units, gold: diversity.Units, *, noun: str, shared: Sequence[float] | None = None
) -> list[Metric]:
    """Return distinct-n, entropies, and the share of repeated texts.

    Args:
        texts: texts of the model, by unit.
        gold: gold texts, by unit.
        noun: plural noun for the texts, such as "replies".
        shared: (U,) numbers that are equal for two models if and only if the models are comparable; None if they always
            are.
    """
    estimates: dict[str, tuple[Callable[[diversity.Units], diversity.Estimate], str]] = {
        "distinct_1": (partial(diversity.distinct, n=1), f"different words of all {noun} / all their words"),
        "distinct_2": (partial(diversity.distinct, n=2), f"different 2-grams of all {noun} / all their 2-grams"),
        "entropy_1": (partial(diversity.entropy, n=1), f"entropy of the words of all {noun}, in nats"),
        "entropy_4": (partial(diversity.entropy, n=4), f"entropy of the 4-grams of all {noun}, in nats"),
        "said_again": (diversity.repeated_share, f"share of the {noun} that occur more than once"),
    }
    return [
        jackknife_metric(name, estimate(texts)[1], estimate(gold)[1], family="Variety", meaning=meaning, shared=shared)
        for name, (estimate, meaning) in estimates.items()
    ]


def jackknife_metric(
    name: str,
    influences: np.ndarray,
    gold: np.ndarray,
    *,
    family: str,
    meaning: str,
    shared: Sequence[float] | None,
) -> Metric:
    """Return a metric that is not a sum over units, such as the number of distinct words, from its jackknife.

    Args:
        name, family, meaning: see `Metric`.
        influences: (U,) pseudo-values of the units for the model's texts; see `convmodel.metrics.jackknife`.
        gold: (U,) pseudo-values of the units for the gold texts.
        shared: see `variety_family`.
    """
    columns = [np.ones(len(influences)), *([] if shared is None else [np.asarray(shared, dtype=np.float64)])]
    rows = np.stack([influences, *columns], axis=1)
    gold_rows = np.stack([gold, *columns], axis=1)
    column = None if shared is None else 2
    return Metric(name, rows, lambda sums: np.maximum(ratio(sums), 0.0), "nearer", gold_rows, family, meaning, column)

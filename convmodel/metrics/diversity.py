"""Diversity of all replies: distinct-n, entropy, and the share of repeated replies."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from convmodel.metrics import jackknife
from convmodel.metrics.words import ngrams, words

Units = Sequence[Sequence[str]]
"""The texts of each unit of the bootstrap."""

Estimate = tuple[float, np.ndarray]
"""The value of a statistic, and the influences (U,) of the units, whose mean is the value."""


def distinct(units: Units, n: int) -> Estimate:
    """Return the number of distinct n-grams divided by the number of all n-grams, with each unit's influence.

    The value is nan if there are no n-grams. It decreases with the number of words, so it is comparable
    only between equal numbers of replies of similar length.

    Source: arXiv:1510.03055, section 5.2 (Li et al. 2016).
    """
    return jackknife.jackknife(_ngram_counts(units, n), jackknife.presence, jackknife.share)


def entropy(units: Units, n: int) -> Estimate:
    """Return the entropy of the n-grams of all replies in nats, with each unit's influence; nan if there are none.

    Unlike distinct-n, it depends on the frequencies of the n-grams.

    Source: arXiv:1809.05972, section 4.1 (Ent-n, Zhang et al. 2018).
    """
    return jackknife.jackknife(_ngram_counts(units, n), jackknife.c_log_c, jackknife.entropy)


def repeated_share(units: Units) -> Estimate:
    """Return the share of replies that occur more than once, with each unit's influence; nan without replies.

    Replies with the same words are equal, regardless of case and punctuation; so are replies without words.
    """
    counts: list[Counter[Hashable]] = [Counter(tuple(words(text)) for text in texts) for texts in units]
    return jackknife.jackknife(counts, jackknife.repeated_count, jackknife.share)


def _ngram_counts(units: Units, n: int) -> list[Counter[Hashable]]:
    return [Counter(gram for text in texts for gram in ngrams(words(text), n)) for texts in units]

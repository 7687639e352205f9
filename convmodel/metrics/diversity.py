"""All replies in, how varied they are out: distinct-n, entropy, and the share of replies said more than once."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from convmodel.metrics import jackknife as tallies
from convmodel.metrics.words import ngrams, words

Units = Sequence[Sequence[str]]
"""For each unit that the bootstrap draws, its texts."""

Number = tuple[float, np.ndarray]
"""A number, and (U,) each unit's influence: their mean is the number."""


def distinct(units: Units, n: int) -> Number:
    """Different n-grams divided by all n-grams of all replies, and each unit's influence; nan without an n-gram.

    It falls with the number of words, so it compares only over as many replies of like length.

    Source: arXiv:1510.03055, section 5.2 (Li et al. 2016).
    """
    return tallies.jackknife(_said(units, n), tallies.different, tallies.share)


def entropy(units: Units, n: int) -> Number:
    """The entropy of the n-grams of all replies in nats, and each unit's influence; nan without an n-gram.

    Unlike distinct-n it sees how evenly the n-grams are used.

    Source: arXiv:1809.05972, section 4.1 (Ent-n, Zhang et al. 2018).
    """
    return tallies.jackknife(_said(units, n), tallies.c_log_c, tallies.entropy)


def repeated_share(units: Units) -> Number:
    """The share of replies that are said more than once, and each unit's influence; nan without replies.

    Replies of the same words are the same, whatever their case and punctuation; replies without a word are the same.
    """
    said: list[Counter[Hashable]] = [Counter(tuple(words(text)) for text in texts) for texts in units]
    return tallies.jackknife(said, tallies.repeated_count, tallies.share)


def _said(units: Units, n: int) -> list[Counter[Hashable]]:
    return [Counter(gram for text in texts for gram in ngrams(words(text), n)) for texts in units]

"""A reply and what was said before in, how much of the reply had been said already out."""

from collections.abc import Sequence

from convmodel.metrics.words import ngrams, words


def repeated_within(reply: str, n: int) -> tuple[int, int]:
    """How many n-grams of a reply came earlier in the same reply, and how many it has.

    Source: arXiv:1908.04319, section 6 (seq-rep-n is 1 - unique / all n-grams); here all replies' n-grams are summed
    before the one division.
    """
    found = ngrams(words(reply), n)
    return len(found) - len(set(found)), len(found)


def repeated_from(context: Sequence[str], reply: str, n: int) -> tuple[int, int]:
    """How many n-grams of a reply stand in a turn of its context, whoever said it, and how many it has.

    Source: after the external repetition of arXiv:1902.08654, section 5.2.
    """
    before = {gram for turn in context for gram in ngrams(words(turn), n)}
    found = ngrams(words(reply), n)
    return sum(gram in before for gram in found), len(found)

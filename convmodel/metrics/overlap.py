"""A reply and the gold one in, how much they share out: F1 of words, and ROUGE-L."""

from collections import Counter
from collections.abc import Sequence

from convmodel.metrics.words import answer_words, words


def f1(reply: str, gold: str) -> float:
    """The harmonic mean of precision and recall of words, order aside, from 0 to 1.

    0 where a text has no words. As in SQuAD and ParlAI, the average over replies is that of their F1, not the F1 of all
    words together.

    Source: SQuAD v1.1, arXiv:1606.05250, section 6.1; its normalisation is in `words.answer_words`.
    """
    said, wanted = answer_words(reply), answer_words(gold)
    return _harmonic((Counter(said) & Counter(wanted)).total(), len(said), len(wanted))


def rouge_l(reply: str, gold: str) -> float:
    """The F-measure (beta 1) of the longest common subsequence of words, from 0 to 1; 0 where a text has no words.

    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 3.1, with F of equal weights.
    """
    said, wanted = words(reply), words(gold)
    return _harmonic(common_subsequence(said, wanted), len(said), len(wanted))


def common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence.

    Source: Hyyrö 2004, "Bit-parallel LCS-length computation revisited": a row of the usual table is a number's bits.
    """
    places: dict[str, int] = {}
    for place, token in enumerate(one):
        places[token] = places.get(token, 0) | 1 << place
    everything = (1 << len(one)) - 1
    row = everything
    for token in other:
        matching = row & places.get(token, 0)
        row = ((row + matching) | (row - matching)) & everything
    return len(one) - row.bit_count()


def _harmonic(shared: int, said: int, wanted: int) -> float:
    return 2 * shared / (said + wanted) if shared else 0.0

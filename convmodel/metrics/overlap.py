"""Word overlap of a reply and the gold reply: F1 and ROUGE-L."""

from collections import Counter
from collections.abc import Sequence

from convmodel.metrics.words import answer_words, words


def f1(reply: str, gold: str) -> float:
    """Return the harmonic mean of precision and recall of words, regardless of order, from 0 to 1.

    The result is 0 if a text has no words. As in SQuAD and ParlAI, the caller averages it over replies.

    Source: SQuAD v1.1, arXiv:1606.05250, section 6.1; its normalisation is in `words.answer_words`.
    """
    reply_words = answer_words(reply)
    gold_words = answer_words(gold)
    return _f_measure((Counter(reply_words) & Counter(gold_words)).total(), len(reply_words), len(gold_words))


def rouge_l(reply: str, gold: str) -> float:
    """Return the F-measure (beta 1) of the longest common subsequence of words, from 0 to 1; 0 if a text has no words.

    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 3.1, with F of equal weights.
    """
    reply_words = words(reply)
    gold_words = words(gold)
    return _f_measure(common_subsequence(reply_words, gold_words), len(reply_words), len(gold_words))


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence.

    Source: Hyyrö 2004, "Bit-parallel LCS-length computation revisited": each row of the dynamic
    programming table is stored as the bits of one int.
    """
    positions: dict[str, int] = {}
    for position, token in enumerate(first):
        positions[token] = positions.get(token, 0) | 1 << position
    mask = (1 << len(first)) - 1
    row = mask
    for token in second:
        matching = row & positions.get(token, 0)
        row = ((row + matching) | (row - matching)) & mask
    return len(first) - row.bit_count()


def _f_measure(shared: int, reply_length: int, gold_length: int) -> float:
    return 2 * shared / (reply_length + gold_length) if shared else 0.0

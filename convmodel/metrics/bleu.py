"""Replies and the gold ones in, the counts of BLEU and chrF out: sacrebleu's numbers, under sacrebleu's signatures."""

from collections import Counter

import numpy as np
import sacrebleu

ORDERS = 4
"""The longest n-gram of BLEU, in tokens."""

CHARACTERS = 6
"""The longest n-gram of chrF, in characters."""

BLEU_COUNTS, CHRF_COUNTS = 2 + 2 * ORDERS, 3 * CHARACTERS

BETA = 2
"""How many times as much recall weighs as precision in chrF."""

TOKENIZERS = ("13a", "intl", "char", "zh", "ja-mecab", "ko-mecab", "none")
"""Those of sacrebleu that need no download."""


class Bleu:
    """Corpus BLEU with one gold reply each, as sacrebleu computes it by default.

    Args:
        tokenize: one of `TOKENIZERS`.

    Source: Papineni et al. 2002; Post 2018, arXiv:1804.08771.
    """

    def __init__(self, tokenize: str = "13a") -> None:
        if tokenize not in TOKENIZERS:
            raise ValueError(f"bleu_tokenize={tokenize!r}; allowed are {', '.join(TOKENIZERS)}")
        try:
            self._bleu = sacrebleu.BLEU(tokenize=tokenize)
        except (RuntimeError, ImportError) as error:  # sacrebleu's own word on a missing MeCab
            language = tokenize.split("-")[0]
            raise ValueError(
                f'bleu_tokenize={tokenize!r} needs more of sacrebleu; pip install "sacrebleu[{language}]"'
            ) from error

    def counts(self, reply: str, gold: str) -> list[int]:
        """The 2 + 2 x 4 counts of a reply: its tokens, those of the gold one, n-grams shared, n-grams of the reply."""
        found = self._bleu.corpus_score([reply], [[gold]])
        return [found.sys_len, found.ref_len, *found.counts, *found.totals]

    def score(self, sums: np.ndarray) -> np.ndarray:
        """(..., 10) summed counts in, (...) BLEU from 0 to 100 out; nan where there are no replies."""
        flat = sums.reshape(-1, BLEU_COUNTS)
        return np.array([self._score(row) for row in flat.astype(np.int64).tolist()]).reshape(sums.shape[:-1])

    def _score(self, row: list[int]) -> float:
        said, wanted, *counts = row
        if not wanted:
            return float("nan")
        found = self._bleu.compute_bleu(counts[:ORDERS], counts[ORDERS:], said, wanted, smooth_method="exp")
        return float(found.score)

    @property
    def signature(self) -> str:
        """What must be the same for two numbers to be comparable."""
        self._bleu.corpus_score(["a"], [["a"]])  # sacrebleu knows the number of references only after a score
        return str(self._bleu.get_signature())


def chrf_counts(reply: str, gold: str) -> list[int]:
    """For each length of 1 to 6 characters: n-grams of the reply, of the gold one, and shared; white space is nothing.

    Source: Popović 2015, "chrF: character n-gram F-score"; counted as sacrebleu does.
    """
    counts: list[int] = []
    said, wanted = "".join(reply.split()), "".join(gold.split())
    for n in range(1, CHARACTERS + 1):
        mine, theirs = (Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (said, wanted))
        counts += [mine.total() if theirs else 0, theirs.total(), (mine & theirs).total()]
    return counts


def chrf(sums: np.ndarray) -> np.ndarray:
    """(..., 18) summed counts in, (...) chrF2 from 0 to 100 out; nan where there are no gold replies."""
    said, wanted, shared = (sums[..., i::3].astype(np.float64) for i in range(3))
    counted = (said > 0) & (wanted > 0)
    orders = np.maximum(counted.sum(axis=-1), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(counted, shared / said, 0.0).sum(axis=-1) / orders
        recall = np.where(counted, shared / wanted, 0.0).sum(axis=-1) / orders
        score = 100 * (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)
    score = np.where(precision + recall > 0, score, 0.0)
    return np.where(wanted[..., 0] > 0, score, np.nan)


def chrf_signature() -> str:
    """What must be the same for two numbers to be comparable."""
    metric = sacrebleu.CHRF(char_order=CHARACTERS, beta=BETA)
    metric.corpus_score(["a"], [["a"]])
    return str(metric.get_signature())

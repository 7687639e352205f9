"""Counts and scores of BLEU and chrF, equal to those of sacrebleu, with its signatures."""

import math
from collections import Counter

import numpy as np
import sacrebleu

ORDERS = 4
"""The maximum length of BLEU's n-grams, in tokens."""

CHARACTERS = 6
"""The maximum length of chrF's n-grams, in characters."""

BLEU_COUNTS = 2 + 2 * ORDERS
CHRF_COUNTS = 3 * CHARACTERS

BETA = 2
"""The weight of recall relative to precision in chrF."""

TOKENIZERS = ("13a", "intl", "char", "zh", "ja-mecab", "ko-mecab", "none")
"""The tokenizers of sacrebleu that need no download."""


class Bleu:
    """Corpus BLEU with one gold reply per example, as sacrebleu computes it by default.

    Args:
        tokenize: one of `TOKENIZERS`.

    Source: Papineni et al. 2002; Post 2018, arXiv:1804.08771.
    """

    def __init__(self, tokenize: str = "13a") -> None:
        if tokenize not in TOKENIZERS:
            raise ValueError(f"bleu_tokenize={tokenize!r}; allowed are {', '.join(TOKENIZERS)}")
        try:
            self._bleu = sacrebleu.BLEU(tokenize=tokenize)
        except (RuntimeError, ImportError) as error:  # sacrebleu's error for a missing MeCab
            language = tokenize.split("-")[0]
            raise ValueError(
                f'bleu_tokenize={tokenize!r} needs more of sacrebleu; pip install "sacrebleu[{language}]"'
            ) from error

    def counts(self, reply: str, gold: str) -> list[int]:
        """Return the 2 + 2 x 4 counts of a reply: tokens, gold tokens, and n-grams per length.

        The last two groups have one count for each n-gram length of 1 to 4: the n-grams that the reply shares with the
        gold reply, then all n-grams of the reply.
        """
        score = self._bleu.corpus_score([reply], [[gold]])
        return [score.sys_len, score.ref_len, *score.counts, *score.totals]

    def score(self, sums: np.ndarray) -> np.ndarray:
        """Return BLEU (...), from 0 to 100, of summed counts (..., 10); nan if there are no gold tokens."""
        scores = []
        for reply_length, gold_length, *counts in sums.reshape(-1, BLEU_COUNTS).astype(np.int64).tolist():
            matching = counts[:ORDERS]
            totals = counts[ORDERS:]
            score = self._bleu.compute_bleu(matching, totals, reply_length, max(gold_length, 1), smooth_method="exp")
            scores.append(score.score if gold_length else math.nan)
        return np.array(scores).reshape(sums.shape[:-1])

    @property
    def signature(self) -> str:
        """The signature of sacrebleu: scores are comparable only if their signatures are equal."""
        self._bleu.corpus_score(["a"], [["a"]])  # sacrebleu knows the number of references only after a score
        return str(self._bleu.get_signature())


def chrf_counts(reply: str, gold: str) -> list[int]:
    """Return three counts for each n-gram length of 1 to 6 characters: of the reply, of the gold reply, and matching.

    White space is ignored.

    Source: Popović 2015, "chrF: character n-gram F-score"; counted as in sacrebleu.
    """
    counts: list[int] = []
    reply = "".join(reply.split())
    gold = "".join(gold.split())
    for n in range(1, CHARACTERS + 1):
        reply_ngrams = _character_ngrams(reply, n)
        gold_ngrams = _character_ngrams(gold, n)
        shared = (reply_ngrams & gold_ngrams).total()
        counts += [reply_ngrams.total() if gold_ngrams else 0, gold_ngrams.total(), shared]
    return counts


def _character_ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def chrf(sums: np.ndarray) -> np.ndarray:
    """Return chrF2 (...), from 0 to 100, of summed counts (..., 18); nan if the gold replies have no characters."""
    in_reply, in_gold, shared = (sums[..., i::3].astype(np.float64) for i in range(3))
    counted = (in_reply > 0) & (in_gold > 0)
    orders = np.maximum(counted.sum(axis=-1), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(counted, shared / in_reply, 0.0).sum(axis=-1) / orders
        recall = np.where(counted, shared / in_gold, 0.0).sum(axis=-1) / orders
        score = 100 * (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)
    score = np.where(precision + recall > 0, score, 0.0)
    return np.where(in_gold[..., 0] > 0, score, np.nan)


def chrf_signature() -> str:
    """Return the signature of sacrebleu: scores are comparable only if their signatures are equal."""
    metric = sacrebleu.CHRF(char_order=CHARACTERS, beta=BETA)
    metric.corpus_score(["a"], [["a"]])
    return str(metric.get_signature())

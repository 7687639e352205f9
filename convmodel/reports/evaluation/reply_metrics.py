"""Replies beside the gold ones, and log-likelihoods, in; the metrics of a model that writes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np

from convmodel.metrics import bleu
from convmodel.metrics.metric import Metric, ratio, rows_of
from convmodel.metrics.overlap import f1, rouge_l
from convmodel.metrics.repetition import repeated_from, repeated_within
from convmodel.metrics.words import spaceless_share, words
from convmodel.reports.evaluation.common_metrics import likelihood, variety
from convmodel.reports.evaluation.likelihood import Likelihoods
from convmodel.reports.evaluation.task import MetricResults

NGRAM = 2
"""The n-grams of repetition: single words are repeated by everybody, replies are too short for many longer ones."""


@dataclass(frozen=True)
class ReplyResult:
    """A reply beside the gold one.

    Args:
        conversation: its number in the file, from 1.
        turn: the number of the turn that was replied, from 1.
        persona: of the one who replies.
        context: the turns before.
        gold: what was said in the file.
        reply: what the model said.
        seed: of this reply alone.
        turns_dropped: oldest turns that did not fit the model's window.
        f1: of the reply, from 0 to 1.
        rouge_l: of the reply, from 0 to 1.
        chrf: of the reply alone, from 0 to 100.
        gold_log_likelihood: of the gold reply, in nats; None where perplexity is not of this turn.
        gold_tokens: the tokens that it is of.
    """

    conversation: int
    turn: int
    persona: list[str]
    context: list[str]
    gold: str
    reply: str
    seed: int
    turns_dropped: int
    f1: float
    rouge_l: float
    chrf: float
    gold_log_likelihood: float | None
    gold_tokens: int | None


def find(replies: Sequence[ReplyResult], read: Sequence[Likelihoods], *, bleu_tokenize: str) -> MetricResults:
    """All metrics of a model that writes.

    Args:
        replies: in ascending order of conversations, which are the units of the bootstrap.
        read: of each conversation.
        bleu_tokenize: how sacrebleu finds words.
    """
    notes = []
    if bleu_tokenize == "13a" and spaceless_share([one.gold for one in replies]) > 0.3:
        notes.append(
            "Many gold replies have no spaces between words, and BLEU takes what stands between spaces for a word: use "
            "--bleu_tokenize char (or zh, ja-mecab, ko-mecab). Perplexity per word means little, bits per character do."
        )
    counted = bleu.Bleu(bleu_tokenize)
    together = [*_likeness(replies, counted), *_variety(replies), *_repetition(replies)]
    signatures = {"bleu": counted.signature, "chrf": bleu.chrf_signature()}
    return MetricResults(_summary(replies, read), [likelihood_metrics(read), together], signatures, notes)


def _summary(replies: Sequence[ReplyResult], read: Sequence[Likelihoods]) -> str:
    turns, tokens = sum(len(one.turns) for one in read), sum(sum(one.tokens) for one in read)
    return (
        f"{len(replies):,} replies in {len(_units(replies)):,} conversations, beside the gold ones; "
        f"likelihood of {turns:,} turns ({tokens:,} tokens) of {len(read):,} conversations."
    )


def likelihood_metrics(read: Sequence[Likelihoods]) -> list[Metric]:
    """Perplexity per token and per word, and bits per character; the units are conversations."""
    nats = [sum(one.nats) for one in read]
    tokens, spoken = [sum(one.tokens) for one in read], [sum(one.words) for one in read]
    return likelihood(nats, tokens, spoken, [sum(one.characters) for one in read], size="character")


def _likeness(replies: Sequence[ReplyResult], counted: bleu.Bleu) -> list[Metric]:
    metric = partial(Metric, better="higher", family="Likeness to the gold replies")

    def rows(count: Callable[[str, str], Sequence[float]], columns: int) -> np.ndarray:
        return _rows(replies, lambda one: count(one.reply, one.gold), columns=columns)

    return [
        metric(
            name="bleu",
            rows=rows(counted.counts, bleu.BLEU_COUNTS),
            divide=counted.score,
            meaning="corpus BLEU, 0 to 100: shared n-grams of 1 to 4 words",
        ),
        metric(
            name="chrf",
            rows=rows(bleu.chrf_counts, bleu.CHRF_COUNTS),
            divide=bleu.chrf,
            meaning="corpus chrF2, 0 to 100: shared n-grams of 1 to 6 characters",
        ),
        metric(
            name="f1",
            rows=rows(lambda reply, gold: (f1(reply, gold), 1), 2),
            divide=ratio,
            meaning="mean F1 of shared words, without punctuation and a/an/the",
        ),
        metric(
            name="rouge_l",
            rows=rows(lambda reply, gold: (rouge_l(reply, gold), 1), 2),
            divide=ratio,
            meaning="mean F1 of the longest common subsequence of words",
        ),
    ]


def _variety(replies: Sequence[ReplyResult]) -> list[Metric]:
    units = _units(replies)
    said, gold = [[one.reply for one in unit] for unit in units], [[one.gold for one in unit] for unit in units]
    return variety(said, gold, what="replies")


def _repetition(replies: Sequence[ReplyResult]) -> list[Metric]:
    def metric(name: str, count: Callable[[Sequence[str], str], Sequence[float]], meaning: str) -> Metric:
        rows = _rows(replies, lambda one: count(one.context, one.reply), columns=2)
        gold_rows = _rows(replies, lambda one: count(one.context, one.gold), columns=2)
        return Metric(name, rows, ratio, "nearer", gold_rows, "Repetition and length", meaning)

    return [
        metric(
            "repetition",
            lambda _, text: repeated_within(text, NGRAM),
            f"share of {NGRAM}-grams that came earlier in the same reply",
        ),
        metric(
            "context_repetition",
            lambda context, text: repeated_from(context, text, NGRAM),
            f"share of {NGRAM}-grams that were said in the context, by whomever",
        ),
        metric("length", lambda _, text: (len(words(text)), 1), "mean words of a reply"),
    ]


def _units(replies: Sequence[ReplyResult]) -> list[list[ReplyResult]]:
    return [list(unit) for _, unit in groupby(replies, key=lambda one: one.conversation)]


def _rows(
    replies: Sequence[ReplyResult], count: Callable[[ReplyResult], Sequence[float]], *, columns: int
) -> np.ndarray:
    """(U, K) the counts of the replies of each conversation."""
    units = [number for number, unit in enumerate(_units(replies)) for _ in unit]
    return rows_of([count(one) for one in replies], units, columns=columns)

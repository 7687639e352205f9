"""Metrics of models that write their replies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np

from convmodel.metrics import bleu
from convmodel.metrics.metric import Metric, ratio, sum_by_unit
from convmodel.metrics.overlap import f1, rouge_l
from convmodel.metrics.repetition import count_repeats_from, count_repeats_within
from convmodel.metrics.words import spaceless_share, words
from convmodel.reports.evaluation.common_metrics import likelihood_family, variety_family
from convmodel.reports.evaluation.likelihood import Likelihoods
from convmodel.reports.evaluation.task import MetricResults

NGRAM = 2
"""The n-grams of the repetition metrics: all replies repeat single words, and few replies have many longer n-grams."""


@dataclass(frozen=True)
class ReplyResult:
    """A model's reply and the gold one.

    Args:
        conversation: index of the conversation in the file, from 1.
        turn: index of the turn that was replied, from 1.
        persona: persona sentences of the replying speaker.
        context: the turns before.
        gold: the turn in the file.
        reply: the model's reply.
        seed: seed of this reply alone.
        turns_dropped: number of oldest turns that did not fit the model's window.
        f1: F1 of the reply, from 0 to 1.
        rouge_l: ROUGE-L of the reply, from 0 to 1.
        chrf: chrF of the reply alone, from 0 to 100.
        gold_log_likelihood: log-likelihood of the gold reply in nats; None where perplexity excludes this turn.
        gold_tokens: number of predicted tokens of the gold reply; None likewise.
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


def compute_metrics(
    replies: Sequence[ReplyResult], read: Sequence[Likelihoods], *, bleu_tokenize: str
) -> MetricResults:
    """Compute all metrics of a model that writes.

    Args:
        replies: in ascending order of conversations, which are the units of the bootstrap.
        read: the likelihoods of each conversation.
        bleu_tokenize: the sacrebleu tokenizer.
    """
    notes = []
    if bleu_tokenize == "13a" and spaceless_share([result.gold for result in replies]) > 0.3:
        notes.append(
            "Many gold replies have no spaces between words, and BLEU takes what stands between spaces for a word: use "
            "--bleu_tokenize char (or zh, ja-mecab, ko-mecab). Perplexity per word means little, bits per character do."
        )
    scorer = bleu.Bleu(bleu_tokenize)
    reply_metrics = [*_likeness(replies, scorer), *_variety(replies), *_repetition(replies)]
    signatures = {"bleu": scorer.signature, "chrf": bleu.chrf_signature()}
    return MetricResults(_summary(replies, read), [likelihood_metrics(read), reply_metrics], signatures, notes)


def _summary(replies: Sequence[ReplyResult], read: Sequence[Likelihoods]) -> str:
    turns = sum(len(conversation.turns) for conversation in read)
    tokens = sum(sum(conversation.tokens) for conversation in read)
    return (
        f"{len(replies):,} replies in {len(_units(replies)):,} conversations, beside the gold ones; "
        f"likelihood of {turns:,} turns ({tokens:,} tokens) of {len(read):,} conversations."
    )


def likelihood_metrics(read: Sequence[Likelihoods]) -> list[Metric]:
    """Return perplexity per token and per word, and bits per character; the units are conversations."""
    return likelihood_family(
        [sum(conversation.nats) for conversation in read],
        [sum(conversation.tokens) for conversation in read],
        [sum(conversation.words) for conversation in read],
        [sum(conversation.characters) for conversation in read],
        size="character",
    )


def _likeness(replies: Sequence[ReplyResult], scorer: bleu.Bleu) -> list[Metric]:
    metric = partial(Metric, better="higher", family="Likeness to the gold replies")

    def rows(count: Callable[[str, str], Sequence[float]], columns: int) -> np.ndarray:
        return _rows(replies, lambda result: count(result.reply, result.gold), columns=columns)

    return [
        metric(
            name="bleu",
            rows=rows(scorer.counts, bleu.BLEU_COUNTS),
            divide=scorer.score,
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
    written = [[result.reply for result in unit] for unit in units]
    gold = [[result.gold for result in unit] for unit in units]
    return variety_family(written, gold, noun="replies")


def _repetition(replies: Sequence[ReplyResult]) -> list[Metric]:
    def metric(name: str, count: Callable[[Sequence[str], str], Sequence[float]], meaning: str) -> Metric:
        rows = _rows(replies, lambda result: count(result.context, result.reply), columns=2)
        gold_rows = _rows(replies, lambda result: count(result.context, result.gold), columns=2)
        return Metric(name, rows, ratio, "nearer", gold_rows, "Repetition and length", meaning)

    return [
        metric(
            "repetition",
            lambda _, text: count_repeats_within(text, NGRAM),
            f"share of {NGRAM}-grams that came earlier in the same reply",
        ),
        metric(
            "context_repetition",
            lambda context, text: count_repeats_from(context, text, NGRAM),
            f"share of {NGRAM}-grams that the context contains, in turns of either speaker",
        ),
        metric("length", lambda _, text: (len(words(text)), 1), "mean words of a reply"),
    ]


def _units(replies: Sequence[ReplyResult]) -> list[list[ReplyResult]]:
    return [list(unit) for _, unit in groupby(replies, key=lambda result: result.conversation)]


def _rows(
    replies: Sequence[ReplyResult], count: Callable[[ReplyResult], Sequence[float]], *, columns: int
) -> np.ndarray:
    """Return (U, K) counts, summed over the replies of each conversation."""
    units = [index for index, unit in enumerate(_units(replies)) for _ in unit]
    return sum_by_unit([count(result) for result in replies], units, columns=columns)

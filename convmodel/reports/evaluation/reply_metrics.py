"""Metrics of models that generate replies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np

from convmodel.metrics import bleu
from convmodel.metrics.metric import Divide, Metric, ratio, sum_by_unit
from convmodel.metrics.overlap import f1, rouge_l
from convmodel.metrics.repetition import count_repeats_from, count_repeats_within
from convmodel.metrics.words import spaceless_share, words
from convmodel.reports.evaluation.common_metrics import likelihood_family, variety_family
from convmodel.reports.evaluation.likelihood import Likelihoods
from convmodel.reports.evaluation.task import MetricResults

NGRAM = 2
"""Length of the n-grams of repetition. All replies repeat single words, and few replies have many longer n-grams."""

LIKENESS = "Likeness to the gold replies"
REPETITION = "Repetition and length"


@dataclass(frozen=True)
class ReplyResult:
    """A model's reply, and the gold reply.

    Args:
        conversation: index of the conversation in the file, from 1.
        turn: index of the gold reply in the conversation, from 1.
        persona: persona sentences of the replying speaker.
        context: the turns before the reply.
        gold: the gold reply.
        reply: the model's reply.
        seed: seed of this reply.
        turns_dropped: number of oldest turns that did not fit the model's window.
        f1: F1 of the words of the reply, from 0 to 1.
        rouge_l: ROUGE-L of the reply, from 0 to 1.
        chrf: chrF of the reply, from 0 to 100.
        gold_log_likelihood: log-likelihood of the gold reply in nats; None if its perplexity was not measured.
        gold_tokens: number of predicted tokens of the gold reply; None if its perplexity was not measured.
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
    """Compute all metrics. The units of the bootstrap are conversations.

    Args:
        replies: replies in ascending order of conversations.
        read: likelihoods of the turns of conversations.
        bleu_tokenize: name of the tokenizer of sacrebleu.
    """
    notes = []
    if bleu_tokenize == "13a" and spaceless_share([result.gold for result in replies]) > 0.3:
        notes.append(
            "Many gold replies have no spaces between words, and BLEU takes what stands between spaces for a word: use "
            "--bleu-tokenize char (or zh, ja-mecab, ko-mecab). Perplexity per word means little, bits per character do."
        )
    scorer = bleu.Bleu(bleu_tokenize)
    units = [list(unit) for _, unit in groupby(replies, key=lambda result: result.conversation)]
    texts = [[result.reply for result in unit] for unit in units]
    gold = [[result.gold for result in unit] for unit in units]
    variety = variety_family(texts, gold, noun="replies")
    of_replies = [*_likeness(units, scorer), *variety, *_repetition(units)]
    signatures = {"bleu": scorer.signature, "chrf": bleu.chrf_signature()}
    turns = sum(len(conversation.turns) for conversation in read)
    tokens = sum(sum(conversation.tokens) for conversation in read)
    summary = (
        f"{len(replies):,} replies in {len(units):,} conversations, beside the gold ones; "
        f"likelihood of {turns:,} turns ({tokens:,} tokens) of {len(read):,} conversations."
    )
    return MetricResults(summary, [likelihood_metrics(read), of_replies], signatures, notes)


def likelihood_metrics(read: Sequence[Likelihoods]) -> list[Metric]:
    """Return perplexity per token and per word, and bits per character. The units are conversations."""
    names = ("nats", "tokens", "words", "characters")
    columns = ([sum(getattr(conversation, name)) for conversation in read] for name in names)
    return likelihood_family(columns, size="character")


def _likeness(units: Sequence[Sequence[ReplyResult]], scorer: bleu.Bleu) -> list[Metric]:
    def metric(
        name: str, count: Callable[[str, str], Sequence[float]], meaning: str, divide: Divide = ratio, columns: int = 2
    ) -> Metric:
        rows = _rows(units, lambda result: count(result.reply, result.gold), columns)
        return Metric(name, rows, divide, family=LIKENESS, meaning=meaning)

    bleu_meaning = "corpus BLEU, 0 to 100: shared n-grams of 1 to 4 words"
    chrf_meaning = "corpus chrF2, 0 to 100: shared n-grams of 1 to 6 characters"
    f1_meaning = "mean F1 of shared words, without punctuation and a/an/the"
    rouge_meaning = "mean F1 of the longest common subsequence of words"
    return [
        metric("bleu", scorer.counts, bleu_meaning, scorer.score, bleu.BLEU_COUNTS),
        metric("chrf", bleu.chrf_counts, chrf_meaning, bleu.chrf, bleu.CHRF_COUNTS),
        metric("f1", lambda reply, gold: (f1(reply, gold), 1), f1_meaning),
        metric("rouge_l", lambda reply, gold: (rouge_l(reply, gold), 1), rouge_meaning),
    ]


def _repetition(units: Sequence[Sequence[ReplyResult]]) -> list[Metric]:
    def metric(name: str, count: Callable[[Sequence[str], str], Sequence[float]], meaning: str) -> Metric:
        rows = _rows(units, lambda result: count(result.context, result.reply))
        gold_rows = _rows(units, lambda result: count(result.context, result.gold))
        return Metric(name, rows, ratio, "nearer", gold_rows, REPETITION, meaning)

    return [
        metric(
            "repetition",
            lambda _, text: count_repeats_within(text, NGRAM),
            f"share of {NGRAM}-grams that came earlier in the same reply",
        ),
        metric(
            "context_repetition",
            partial(count_repeats_from, n=NGRAM),
            f"share of {NGRAM}-grams that the context contains, in turns of either speaker",
        ),
        metric("length", lambda _, text: (len(words(text)), 1), "mean words of a reply"),
    ]


def _rows(
    units: Sequence[Sequence[ReplyResult]], count: Callable[[ReplyResult], Sequence[float]], columns: int = 2
) -> np.ndarray:
    """Return the (U, K) sums of the K = `columns` counts of replies over each of U conversations."""
    counts = [(index, count(result)) for index, unit in enumerate(units) for result in unit]
    return sum_by_unit([values for _, values in counts], [index for index, _ in counts], columns=columns)

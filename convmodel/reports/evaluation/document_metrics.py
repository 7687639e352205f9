"""Metrics of models that generate documents."""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from convmodel.data.reader import format_count
from convmodel.metrics import jackknife
from convmodel.metrics.metric import Metric, ratio, sum_by_unit
from convmodel.metrics.repetition import count_repeats
from convmodel.metrics.words import words
from convmodel.reports.evaluation.common_metrics import jackknife_metric, likelihood_family, variety_family
from convmodel.reports.evaluation.likelihood import LOOKBACK, NextTokenStats
from convmodel.reports.evaluation.task import MetricResults

NGRAMS = (2, 3, 4)
"""Values of n for which seq-rep-n is computed."""


@dataclass(frozen=True)
class ContinuationResult:
    """A model's continuation of the beginning of a document, and the gold continuation.

    Args:
        document: index of the document in the file, from 1.
        meta: meta in the form in which the model reads it; empty if the document has none or metas are left out.
        prompt: beginning of the document.
        gold: text of the document after the prompt, cut to the maximum number of tokens of a continuation.
        text: continuation by the model.
        seed: seed of this continuation.
        finish: reason for which generation ended: "end", "stop" or "length".
        gold_ends: whether the gold continuation was not cut, so that the document ends with it.
        tokens_dropped: number of oldest prompt tokens that did not fit the model's window.
        gold_ids: token ids of the gold continuation.
        ids: token ids of the model's continuation.
    """

    document: int
    meta: str
    prompt: str
    gold: str
    text: str
    seed: int
    finish: str
    gold_ends: bool
    tokens_dropped: int
    gold_ids: list[int]
    ids: list[int]


def compute_metrics(continued: Sequence[ContinuationResult], read: Sequence[NextTokenStats]) -> MetricResults:
    """Compute all metrics. The units of the bootstrap are documents.

    Args:
        continued: one or more continuations, at most one per document.
        read: predictions over each document.
    """
    # Metrics of continuations count tokens, whose number `max_new_tokens` limits. Models whose tokenizers split the
    # gold texts differently are therefore not comparable.
    shared = [zlib.crc32(repr(result.gold_ids).encode()) for result in continued]
    texts = [[result.text] for result in continued]
    gold = [[result.gold] for result in continued]
    of_continuations = [
        *_repetition(continued, shared),
        *variety_family(texts, gold, noun="continuations", shared=shared),
        *_length(continued, shared),
    ]
    columns = ([getattr(document, name) for document in read] for name in ("nats", "tokens", "words", "bytes"))
    of_documents = [*likelihood_family(columns, size="byte"), *_next_token(read)]
    tokens = sum(document.tokens for document in read)
    summary = (
        f"{format_count(len(continued), 'document')} continued from the beginning, beside how they went on; "
        f"likelihood of {format_count(len(read), 'document')} ({tokens:,} tokens)."
    )
    return MetricResults(summary, [of_documents, of_continuations])


def _next_token(read: Sequence[NextTokenStats]) -> list[Metric]:
    """Return metrics of the most probable token after each gold prefix. Source: arXiv:1908.04319, section 6."""

    def rows(count: str) -> np.ndarray:
        counts = [(getattr(document, count), document.tokens) for document in read]
        return sum_by_unit(counts, range(len(read)), columns=2)

    metric = partial(Metric, divide=ratio, family="Likeliest next token", shared=1)
    return [
        metric("accuracy", rows("right"), meaning="how often it is the gold next token"),
        metric(
            f"rep_{LOOKBACK}",
            rows("again"),
            better="nearer",
            gold_rows=rows("gold_again"),
            meaning=f"how often it is one of the {LOOKBACK} tokens before it",
        ),
        metric(
            f"wrep_{LOOKBACK}",
            rows("wrongly_again"),
            better="lower",
            meaning="how often it is one of these, but not the gold next token",
        ),
    ]


def _repetition(continued: Sequence[ContinuationResult], shared: Sequence[int]) -> list[Metric]:
    """Return the mean seq-rep-n of continuations, and uniq-seq. Source: arXiv:1908.04319, section 6."""
    means = [
        _mean(
            f"seq_rep_{n}",
            [(_share(result.ids, n), _share(result.gold_ids, n)) for result in continued],
            shared,
            family="Repetition within a continuation",
            meaning=f"mean share of {n}-grams of tokens that came earlier in the same continuation",
        )
        for n in NGRAMS
    ]
    unique = jackknife_metric(
        "uniq_seq",
        _unique_tokens([result.ids for result in continued]),
        _unique_tokens([result.gold_ids for result in continued]),
        family="Variety",
        meaning="number of different tokens in all continuations together",
        shared=shared,
    )
    return [*means, unique]


def seq_rep(ids: Sequence[int], n: int) -> float | None:
    """Return the share of repeated n-grams: 1 - distinct n-grams / all n-grams; None for fewer than n tokens."""
    repetitions, total = count_repeats(ids, n)
    return repetitions / total if total else None


def _share(ids: Sequence[int], n: int) -> tuple[float, int]:
    share = seq_rep(ids, n)
    return (0.0, 0) if share is None else (share, 1)


def _unique_tokens(ids: Sequence[list[int]]) -> np.ndarray:
    return jackknife.jackknife([Counter(of_text) for of_text in ids], jackknife.presence, lambda total, _: total)[1]


def _length(continued: Sequence[ContinuationResult], shared: Sequence[int]) -> list[Metric]:
    mean = partial(_mean, shared=shared, family="Length")
    lengths = [((len(words(result.text)), 1), (len(words(result.gold)), 1)) for result in continued]
    ends = [((result.finish == "end", 1), (result.gold_ends, 1)) for result in continued]
    return [
        mean("length", lengths, meaning="mean words of a continuation"),
        mean("ends", ends, meaning="share of the continuations that end by themselves"),
    ]


def _mean(
    name: str,
    pairs: Sequence[tuple[tuple[float, int], tuple[float, int]]],
    shared: Sequence[int],
    *,
    family: str,
    meaning: str,
) -> Metric:
    """Return the mean of numbers of U continuations as a metric.

    Args:
        name, family, meaning: see `Metric`.
        pairs: for each continuation, the number of the model and that of the gold text. Each is a pair of the number
            and 1, or of 0 and 0 if it is not defined.
        shared: (U,) see `variety_family`.
    """
    rows, gold = (
        sum_by_unit([(*pair[side], key) for pair, key in zip(pairs, shared, strict=True)], range(len(pairs)), columns=3)
        for side in (0, 1)
    )
    return Metric(name, rows, ratio, "nearer", gold, family, meaning, shared=2)

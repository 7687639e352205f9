"""Continuations beside the gold ones, and what was foretold of whole documents, in; all metrics of documents out."""

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from convmodel.data.reader import count
from convmodel.metrics import jackknife as tallies
from convmodel.metrics.metric import Metric, ratio, rows_of
from convmodel.metrics.repetition import repeated
from convmodel.metrics.words import words
from convmodel.reports.evaluation.common_metrics import influences, likelihood, variety
from convmodel.reports.evaluation.next_token import LATELY, NextTokenStats
from convmodel.reports.evaluation.task import MetricResults

NGRAMS = (2, 3, 4)
"""The n of seq-rep-n."""


@dataclass(frozen=True)
class ContinuationResult:
    """How a model went on with the beginning of a document, beside how the document went on.

    Args:
        document: its number in the file, from 1.
        meta: as the model reads it; empty where there is none, or it was left out.
        prompt: how the document begins.
        gold: how it goes on, as far as it has no more tokens than the model could write.
        text: how the model went on.
        seed: of this continuation alone.
        finish: why it is over: "end", "stop", "length".
        gold_ends: whether the document is over where the gold text is.
        tokens_dropped: oldest tokens of the prompt that did not fit the model's window.
        gold_ids, ids: the tokens of both.
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


def find(continued: Sequence[ContinuationResult], read: Sequence[NextTokenStats]) -> MetricResults:
    """All metrics of a model of documents.

    Args:
        continued: at most one of each document, at least one.
        read: of each document; documents are the units of the bootstrap.
    """
    # Tokens are counted, and limit what is written: where those of the gold texts are others, nothing compares.
    alike = [zlib.crc32(repr(one.gold_ids).encode()) for one in continued]
    said, gold = [[one.text] for one in continued], [[one.gold] for one in continued]
    together = [
        *_repetition(continued, alike),
        *variety(said, gold, what="continuations", alike=alike),
        *_length(continued, alike),
    ]
    return MetricResults(_summary(continued, read), [[*_likelihood(read), *_next_token(read)], together])


def _summary(continued: Sequence[ContinuationResult], read: Sequence[NextTokenStats]) -> str:
    return (
        f"{count(len(continued), 'document')} continued from the beginning, beside how they went on; "
        f"likelihood of {count(len(read), 'document')} ({sum(one.tokens for one in read):,} tokens)."
    )


def _likelihood(read: Sequence[NextTokenStats]) -> list[Metric]:
    columns = ([getattr(one, name) for one in read] for name in ("nats", "tokens", "words", "bytes"))
    return likelihood(*columns, size="byte")


def _next_token(read: Sequence[NextTokenStats]) -> list[Metric]:
    """Of the likeliest next token, after what the document says so far. Source: arXiv:1908.04319, section 6."""
    units = range(len(read))

    def rows(number: Callable[[NextTokenStats], int]) -> np.ndarray:
        return rows_of([(number(one), one.tokens) for one in read], units, columns=2)

    metric = partial(Metric, divide=ratio, family="Likeliest next token", shared=1)
    return [
        metric("accuracy", rows(lambda one: one.right), meaning="how often it is the one that comes"),
        metric(
            f"rep_{LATELY}",
            rows(lambda one: one.again),
            better="nearer",
            gold_rows=rows(lambda one: one.gold_again),
            meaning=f"how often it is one of the {LATELY} tokens before it",
        ),
        metric(
            f"wrep_{LATELY}",
            rows(lambda one: one.wrongly_again),
            better="lower",
            meaning="how often it is one of these, and another one comes",
        ),
    ]


def _repetition(continued: Sequence[ContinuationResult], alike: Sequence[int]) -> list[Metric]:
    """Source: arXiv:1908.04319, section 6; they are means over continuations."""
    return [
        *(
            _mean(
                f"seq_rep_{n}",
                [(_share(one.ids, n), _share(one.gold_ids, n)) for one in continued],
                alike,
                family="Repetition within a continuation",
                meaning=f"mean share of {n}-grams of tokens that came earlier in the same continuation",
            )
            for n in NGRAMS
        ),
        _different_tokens(continued, alike),
    ]


def seq_rep(ids: Sequence[int], n: int) -> float | None:
    """1 - unique / all n-grams of a continuation; None where it has no n-gram."""
    again, all_ = repeated(ids, n)
    return again / all_ if all_ else None


def _share(ids: Sequence[int], n: int) -> tuple[float, int]:
    found = seq_rep(ids, n)
    return (0.0, 0) if found is None else (found, 1)


def _different_tokens(continued: Sequence[ContinuationResult], alike: Sequence[int]) -> Metric:
    said, gold = (
        tallies.jackknife([Counter(ids) for ids in each], tallies.different, lambda total, _: total)[1]
        for each in ([one.ids for one in continued], [one.gold_ids for one in continued])
    )
    meaning = "how many different tokens all continuations have together"
    shared = np.asarray(alike, dtype=np.float64)
    return influences("uniq_seq", said, gold, family="Variety", meaning=meaning, shared=shared)


def _length(continued: Sequence[ContinuationResult], alike: Sequence[int]) -> list[Metric]:
    mean = partial(_mean, alike=alike, family="Length")
    lengths = [((len(words(one.text)), 1), (len(words(one.gold)), 1)) for one in continued]
    ends = [((one.finish == "end", 1), (one.gold_ends, 1)) for one in continued]
    return [
        mean("length", lengths, meaning="mean words of a continuation"),
        mean("ends", ends, meaning="share of the continuations that end by themselves"),
    ]


def _mean(
    name: str,
    pairs: Sequence[tuple[tuple[float, int], tuple[float, int]]],
    alike: Sequence[int],
    *,
    family: str,
    meaning: str,
) -> Metric:
    """A mean over continuations, and over the gold ones: for each of both a number, and whether there is one."""
    rows, gold = (
        rows_of([(*pair[which], its) for pair, its in zip(pairs, alike, strict=True)], range(len(pairs)), columns=3)
        for which in (0, 1)
    )
    return Metric(name, rows, ratio, "nearer", gold, family, meaning, shared=2)

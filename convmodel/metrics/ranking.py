"""Ranking metrics of scored candidates: ranks of the gold candidates, R_n@k, hits@k/n, MRR and the mean gold score.

Ties count against the model: a candidate is ranked before the gold candidate unless its score is lower. A candidate is
therefore ranked before the gold one if the scores are equal or if one of them is nan. So a model that
gives all candidates the same score never ranks the gold one first, whatever its position in the pool.
"""

import math
import operator
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convmodel.metrics.metric import Metric, ratio, sum_by_unit

FAMILY = "Choosing among candidates"

Rows = np.ndarray | Sequence[npt.ArrayLike]
"""An array, a tensor on the CPU, or a sequence, with one entry for each of B examples."""


@dataclass(frozen=True)
class ExampleRanks:
    """The ranks of the gold candidates of one example.

    `ranks` count from 1, best first; `pool` is the number of candidates; `gold_score` is the mean score of the gold
    candidates.
    """

    ranks: tuple[int, ...]
    pool: int
    gold_score: float


def rank(scores: Rows, gold: Rows) -> list[ExampleRanks]:
    """Return the ranks of each example's gold candidates; ties and nan count against the model.

    Args:
        scores: (B, C), or B sequences of different lengths: the score of each candidate; higher is better.
        gold: for each of the B examples the column of its gold candidate, from 0, or a sequence of columns.

    Raises:
        ValueError: when an example has no gold candidate, has only gold candidates, or a column is out of range.
    """
    if len(scores) != len(gold):
        raise ValueError(f"{len(scores)} pools of scores came with the gold columns of {len(gold)}: give one for each")
    return [_rank_example(i, *example) for i, example in enumerate(zip(scores, gold, strict=True))]


def ranks_of(scores: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Return the ranks (B,), from 1, of one gold candidate per example: a vectorized `rank` for use in training.

    `scores` are (B, C), and `gold` (B,) are the columns of the gold candidates, from 0. R_C@k of the batch
    is `(ranks_of(scores, gold) <= k).mean()`.
    """
    scores = np.asarray(scores)
    gold = np.asarray(gold)
    below = scores < np.take_along_axis(scores, gold[:, None], axis=1)
    # Ranks count from 1, because the gold candidate is not below itself.
    ranks: np.ndarray = scores.shape[1] - below.sum(axis=1)
    return ranks


def gold_ranks(scores: np.ndarray, columns: Sequence[int]) -> tuple[int, ...]:
    """Return the ranks, from 1, best first, of the gold candidates among the scores (C,) of one example.

    `columns` are the distinct columns of the gold candidates. The rank of a gold candidate is 1, plus the number of
    candidates that are not gold and not scored lower, plus the number of gold candidates that are scored higher.
    """
    gold = -np.sort(-scores[list(columns)])  # nan is sorted last
    others = np.delete(scores, list(columns))
    before = (~(others < gold[:, None])).sum(axis=1)
    return tuple((before + np.arange(1, len(gold) + 1)).tolist())


def recall(ranks: Sequence[int], k: int) -> float:
    """Return R_n@k of one example: the share of its gold candidates with rank <= k. Source: arXiv:1506.08909."""
    return sum(rank <= k for rank in ranks) / len(ranks)


def hit(ranks: Sequence[int], k: int) -> float:
    """Return hits@k/n of one example: 1 if any of its gold candidates is among the first k, as in ParlAI and ConvAI2.

    With one gold candidate it equals R_n@k. Source: arXiv:1801.07243 (Zhang et al. 2018).
    """
    return float(min(ranks) <= k)


def reciprocal_rank(ranks: Sequence[int]) -> float:
    """Return the reciprocal rank of the best gold candidate of one example."""
    return 1 / min(ranks)


class Ranking:
    """Accumulates ranked examples, and computes ranking metrics over units (conversations).

    An example with fewer than k distractors is excluded from R_n@k and hits@k/n, because the first k candidates then
    always include a gold one. If all examples are excluded the value is nan.

    Args:
        recall_at, hits_at: the values of k for R_n@k and hits@k/n.
        pool: the n in the names of the metrics; by default the number of candidates of the included examples.

    Raises:
        ValueError: when a k is not an integer of at least 1.
    """

    def __init__(
        self, *, recall_at: Sequence[int] = (1, 2, 5), hits_at: Sequence[int] = (), pool: int | None = None
    ) -> None:
        for name, values in (("recall_at", recall_at), ("hits_at", hits_at)):
            for k in values:
                if not isinstance(k, int) or isinstance(k, bool) or k < 1:
                    raise ValueError(f"{name} has k = {k!r}: allowed are whole numbers from 1 on")
        self.recall_at = tuple(recall_at)
        self.hits_at = tuple(hits_at)
        self._pool_name = pool
        self._examples: list[ExampleRanks] = []
        self._units: list[int] = []
        self._unit_indices: dict[Hashable, int] = {}

    def add(self, examples: Sequence[ExampleRanks], units: Sequence[Hashable]) -> None:
        """Add the results of `rank`, with the unit (conversation) of each.

        The rows of the metrics are in the order in which the units were first added.

        Raises:
            ValueError: when the numbers of units and examples differ.
        """
        if len(examples) != len(units):
            raise ValueError(f"{len(examples)} examples came with {len(units)} units: give one for each")
        self._examples.extend(examples)
        self._units.extend(self._unit_indices.setdefault(unit, len(self._unit_indices)) for unit in units)

    def metrics(self) -> list[Metric]:
        """Return R_n@k and hits@k/n for each k, `mrr` and `gold_score`; nan without included examples."""
        best = f"mean of 1 / the rank of the best gold candidate among {self._pool(self._examples)} candidates"
        return [
            *(self._within(k, recall, "R_{n}@{k}", "share of the gold candidates") for k in self.recall_at),
            *(self._within(k, hit, "hits@{k}/{n}", "share of examples with a gold candidate") for k in self.hits_at),
            self._mean("mrr", lambda example: reciprocal_rank(example.ranks), best),
            self._mean(
                "gold_score",
                # An infinite score becomes nan, because 0 x infinity would warn.
                lambda example: example.gold_score if math.isfinite(example.gold_score) else math.nan,
                "mean score of the gold candidates; compares models only where their scores are of one scale",
            ),
        ]

    def _within(self, k: int, count: Callable[[Sequence[int], int], float], name: str, meaning: str) -> Metric:
        def depends_on_scores(example: ExampleRanks) -> bool:
            return example.pool - len(example.ranks) >= k

        pool = self._pool(list(filter(depends_on_scores, self._examples)) or self._examples)
        meaning = f"{meaning} among the first {k} of {pool}; ties count against the model"
        return self._mean(name.format(n=pool, k=k), lambda example: count(example.ranks, k), meaning, depends_on_scores)

    def _pool(self, examples: Iterable[ExampleRanks]) -> str:
        """Return the pool size as text for metric names: "10", "5-20" if pools differ, "n" without examples."""
        sizes = {example.pool for example in examples} if self._pool_name is None else {self._pool_name}
        if not sizes:
            return "n"
        return str(min(sizes)) if len(sizes) == 1 else f"{min(sizes)}-{max(sizes)}"

    def _mean(
        self,
        name: str,
        value: Callable[[ExampleRanks], float],
        meaning: str,
        counts: Callable[[ExampleRanks], bool] = lambda _: True,
    ) -> Metric:
        values = [(value(example), 1.0) if counts(example) else (0.0, 0.0) for example in self._examples]
        order = sorted(range(len(values)), key=self._units.__getitem__)
        rows = sum_by_unit([values[i] for i in order], [self._units[i] for i in order], columns=2)
        return Metric(name, rows, ratio, family=FAMILY, meaning=meaning)


def _rank_example(index: int, scores: npt.ArrayLike, gold: npt.ArrayLike) -> ExampleRanks:
    pool = np.asarray(scores, dtype=np.float64)
    if pool.ndim != 1:
        raise ValueError(f"example {index} has scores of shape {pool.shape}: one score for each candidate is allowed")
    columns = _columns(index, gold)
    if any(not 0 <= column < len(pool) for column in columns):
        raise ValueError(
            f"example {index} has the gold columns {columns}: allowed are 0 to {len(pool) - 1}, as it has {len(pool)}"
            " candidates"
        )
    if not 0 < len(set(columns)) == len(columns) < len(pool):
        raise ValueError(
            f"example {index} has the gold columns {columns} of {len(pool)} candidates: at least one is needed, each"
            " is named once, and at least one candidate must not be gold; leave out examples that lack either"
        )
    with np.errstate(invalid="ignore", over="ignore"):  # the mean may be undefined
        return ExampleRanks(gold_ranks(pool, columns), len(pool), float(pool[columns].mean()))


def _columns(index: int, gold: Any) -> list[int]:
    """Return the gold columns as ints. Booleans are rejected: they are a mask, not columns."""
    columns = list(gold) if np.ndim(gold) else [gold]
    try:
        if any(isinstance(column, bool) for column in columns):
            raise TypeError
        return [operator.index(column) for column in columns]
    except TypeError:
        raise ValueError(f"example {index} has {gold!r} as gold: allowed are numbers of columns, from 0 on") from None

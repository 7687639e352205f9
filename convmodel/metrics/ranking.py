"""Scores of candidates in, where the gold one came out: its rank, R_n@k, hits@k/n, MRR and its mean score.

Whatever is not certain counts against the model: a candidate that is not below the gold one, because it has the same
score or because one of the two is nan, stands before it. So a model that scores all texts alike never finds the gold
one, wherever that stands in the pool.
"""

import math
import operator
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convmodel.metrics.metric import Metric, ratio, rows_of

FAMILY = "Choosing among candidates"

Rows = np.ndarray | Sequence[npt.ArrayLike]
"""What has one entry for each of B examples; tensors on the CPU, too."""


@dataclass(frozen=True)
class Ranked:
    """Where the gold candidates of one example came.

    Args:
        ranks: of each gold candidate, from 1, best first.
        pool: C, how many candidates there were.
        gold_score: the mean score of the gold candidates.
    """

    ranks: tuple[int, ...]
    pool: int
    gold_score: float


def rank(scores: Rows, gold: Rows) -> list[Ranked]:
    """Where the gold candidates of each example came, ties and nan counted against the model.

    Args:
        scores: (B, C), higher is better, or B pools of different sizes.
        gold: for each of the B examples the column of the gold candidate, from 0, or the columns of several.

    Raises:
        ValueError: when an example has no gold candidate or nothing but gold ones, or its columns are not of its pool.
    """
    if len(scores) != len(gold):
        raise ValueError(f"{len(scores)} pools of scores came with the gold columns of {len(gold)}: give one for each")
    return [_ranked(number, *one) for number, one in enumerate(zip(scores, gold, strict=True))]


def ranks_of(scores: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """(B,) the ranks of one gold candidate in each pool, all at once: those of `rank`, for use while training.

    R_C@k of the batch is `(ranks_of(scores, gold) <= k).mean()`.

    Args:
        scores: (B, C), higher is better; a tensor on the CPU, too.
        gold: (B,) the columns of the gold candidates, from 0.
    """
    scores, gold = np.asarray(scores), np.asarray(gold)
    below = scores < np.take_along_axis(scores, gold[:, None], axis=1)
    return scores.shape[1] - below.sum(axis=1)  # the gold one, never below itself, is the one of "from 1"


def gold_ranks(scores: np.ndarray, columns: Sequence[int]) -> tuple[int, ...]:
    """The ranks of the gold candidates, best first: 1 for each that is not below it, and gold ones only when better.

    Args:
        scores: (C,) of one pool, higher is better.
        columns: of the gold candidates, from 0, each once.
    """
    gold = -np.sort(-scores[list(columns)])  # nan comes last
    others = np.delete(scores, list(columns))
    before = (~(others < gold[:, None])).sum(axis=1)
    return tuple((before + np.arange(1, len(gold) + 1)).tolist())


def recall(ranks: Sequence[int], k: int) -> float:
    """R_n@k of one example: the share of its gold candidates among the first k.

    Source: arXiv:1506.08909 (Lowe et al. 2015), for one gold candidate.
    """
    return sum(one <= k for one in ranks) / len(ranks)


def hit(ranks: Sequence[int], k: int) -> float:
    """hits@k/n of one example: 1 where any of its gold candidates is among the first k, as in ParlAI and ConvAI2.

    With one gold candidate it is R_n@k. Source: arXiv:1801.07243 (Zhang et al. 2018).
    """
    return float(min(ranks) <= k)


def reciprocal_rank(ranks: Sequence[int]) -> float:
    """1 / the rank of the best gold candidate of one example."""
    return 1 / min(ranks)


class Ranking:
    """Examples in, metrics over units (conversations) out.

    An example tells nothing about k where fewer than k candidates are not gold, as the first k then hold a gold one
    whatever the scores: it is left out of R_n@k and hits@k/n, whose n is the pool of the examples that count ("5-20"
    where pools differ). Without such an example the number is nan, without any example n stays a letter.

    Args:
        recall_at: the k of R_n@k.
        hits_at: the k of hits@k/n.
        pool: the n of the names; the pool of the examples that count when left out.

    Raises:
        ValueError: when a k is not a whole number from 1 on.
    """

    def __init__(
        self, *, recall_at: Sequence[int] = (1, 2, 5), hits_at: Sequence[int] = (), pool: int | None = None
    ) -> None:
        for name, given in (("recall_at", recall_at), ("hits_at", hits_at)):
            for k in given:
                if not isinstance(k, int) or isinstance(k, bool) or k < 1:
                    raise ValueError(f"{name} has k = {k!r}: allowed are whole numbers from 1 on")
        self.recall_at = tuple(recall_at)
        self.hits_at = tuple(hits_at)
        self._named = pool
        self._examples: list[Ranked] = []
        self._units: list[int] = []
        self._places: dict[Hashable, int] = {}

    def add(self, examples: Sequence[Ranked], units: Sequence[Hashable]) -> None:
        """Counts examples.

        Args:
            examples: as `rank` gives them.
            units: the conversation of each; rows of the metrics are in the order in which they are first named.

        Raises:
            ValueError: when there are not as many units as examples.
        """
        if len(examples) != len(units):
            raise ValueError(f"{len(examples)} examples came with {len(units)} units: give one for each")
        self._examples.extend(examples)
        self._units.extend(self._places.setdefault(unit, len(self._places)) for unit in units)

    def metrics(self) -> list[Metric]:
        """R_n@k and hits@k/n for each k, `mrr` and `gold_score`; nan where no example counts."""
        among = f"among {self._pool(self._examples)} candidates"
        return [
            *(self._within(k, recall, "R_{n}@{k}", "share of the gold candidates") for k in self.recall_at),
            *(self._within(k, hit, "hits@{k}/{n}", "share of examples with a gold candidate") for k in self.hits_at),
            self._mean(
                "mrr",
                lambda one: reciprocal_rank(one.ranks),
                f"mean of 1 / the rank of the best gold candidate {among}",
            ),
            self._mean(
                "gold_score",
                lambda one: one.gold_score if math.isfinite(one.gold_score) else math.nan,  # 0 x infinity would warn
                "mean score of the gold candidates; compares models only where their scores are of one scale",
            ),
        ]

    def _within(self, k: int, count: Callable[[Sequence[int], int], float], name: str, meaning: str) -> Metric:
        counted = [one for one in self._examples if _tells(one, k)]
        pool = self._pool(counted or self._examples)
        return self._mean(
            name.format(n=pool, k=k),
            lambda one: count(one.ranks, k),
            f"{meaning} among the first {k} of {pool}; ties count against the model",
            lambda one: _tells(one, k),
        )

    def _pool(self, examples: Iterable[Ranked]) -> str:
        return _pool(examples) if self._named is None else str(self._named)

    def _mean(
        self,
        name: str,
        value: Callable[[Ranked], float],
        meaning: str,
        counts: Callable[[Ranked], bool] = lambda _: True,
    ) -> Metric:
        found = [(value(one), 1.0) if counts(one) else (0.0, 0.0) for one in self._examples]
        order = sorted(range(len(found)), key=self._units.__getitem__)
        rows = rows_of([found[at] for at in order], [self._units[at] for at in order], columns=2)
        return Metric(name, rows, ratio, family=FAMILY, meaning=meaning)


def _tells(one: Ranked, k: int) -> bool:
    """Whether scores decide if a gold candidate is among the first k."""
    return one.pool - len(one.ranks) >= k


def _pool(examples: Iterable[Ranked]) -> str:
    """The size of the pools as it stands in names: 10, 5-20 where they differ, n for none."""
    sizes = {one.pool for one in examples}
    if not sizes:
        return "n"
    return str(min(sizes)) if len(sizes) == 1 else f"{min(sizes)}-{max(sizes)}"


def _ranked(number: int, scores: npt.ArrayLike, gold: npt.ArrayLike) -> Ranked:
    pool = np.asarray(scores, dtype=np.float64)
    if pool.ndim != 1:
        raise ValueError(f"example {number} has scores of shape {pool.shape}: one score for each candidate is allowed")
    columns = _columns(number, gold)
    if any(not 0 <= column < len(pool) for column in columns):
        raise ValueError(
            f"example {number} has the gold columns {columns}: allowed are 0 to {len(pool) - 1}, as it has {len(pool)}"
            " candidates"
        )
    if not 0 < len(set(columns)) == len(columns) < len(pool):
        raise ValueError(
            f"example {number} has the gold columns {columns} of {len(pool)} candidates: at least one is needed, each"
            " is named once, and at least one candidate must not be gold; leave examples out that have no such"
        )
    with np.errstate(invalid="ignore", over="ignore"):  # the mean may be none
        return Ranked(gold_ranks(pool, columns), len(pool), float(pool[columns].mean()))


def _columns(number: int, gold: Any) -> list[int]:
    """One column, or several, as plain numbers; True and False are a mask and no columns."""
    given = list(gold) if np.ndim(gold) else [gold]
    try:
        if any(isinstance(column, bool) for column in given):
            raise TypeError
        return [operator.index(column) for column in given]
    except TypeError:
        raise ValueError(f"example {number} has {gold!r} as gold: allowed are numbers of columns, from 0 on") from None

"""Ranks, compared with plain loops and torchmetrics; ties and nan count against the model."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_recall,
    retrieval_reciprocal_rank,
)
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMRR

from convmodel.metrics.bootstrap import resample
from convmodel.metrics.metric import Metric
from convmodel.metrics.ranking import ExampleRanks, Ranking, hit, rank, ranks_of, recall, reciprocal_rank


def plain_ranks(scores: Sequence[float], gold: Sequence[int]) -> list[int]:
    """Return the worst ranks that the scores allow: at equal scores (nan equals all), gold candidates come last."""
    placed: list[int] = []
    remaining = list(range(len(scores)))
    while remaining:
        distractors = [i for i in remaining if i not in gold]
        golds = [i for i in remaining if i in gold]
        ahead = [i for i in distractors if not any(scores[i] < scores[j] for j in golds)]
        best = max(golds, key=lambda i: -math.inf if math.isnan(scores[i]) else scores[i]) if golds else distractors[0]
        placed.append(ahead[0] if ahead else best)
        remaining.remove(placed[-1])
    return [position for position, i in enumerate(placed, 1) if i in gold]


def pools(seed: int, values: Sequence[float]) -> tuple[list[list[float]], list[list[int]]]:
    source = np.random.default_rng(seed)
    sizes = source.integers(2, 9, size=200)
    scores = [source.choice(values, size=size).tolist() for size in sizes]
    gold = [source.permutation(size)[: source.integers(1, min(size, 4))].tolist() for size in sizes]
    return scores, gold


def values(metrics: Sequence[Metric]) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics}


def ranking(scores: Any, gold: Any, **options: Any) -> dict[str, float]:
    result = Ranking(**options)
    result.add(rank(scores, gold), range(len(scores)))
    return values(result.metrics())


@pytest.mark.parametrize(
    "known", [[0.0], [0, 1, 2], [-math.inf, 0, math.inf, 1], [math.nan, 0, 1, -math.inf], range(1000)]
)
def test_ranks_equal_those_of_a_plain_loop_over_candidates(known: Sequence[float]) -> None:
    scores, gold = pools(len(known), known)
    for own, columns, result in zip(scores, gold, rank(scores, gold), strict=True):
        assert list(result.ranks) == plain_ranks(own, columns)
        assert result.pool == len(own)


@pytest.mark.parametrize("score_values", [[0.0], [0, 1, 2], [math.nan, 0, 1, -math.inf, math.inf], range(1000)])
def test_ranks_of_a_batch_are_those_of_its_rows(score_values: Sequence[float]) -> None:
    source = np.random.default_rng(len(score_values))
    scores = source.choice(np.array(score_values, dtype=np.float32), size=(64, 12))
    gold = source.integers(12, size=64)
    assert ranks_of(scores, gold).tolist() == [example.ranks[0] for example in rank(scores, gold)]
    tensors: Any = torch.from_numpy(scores), torch.from_numpy(gold)
    assert ranks_of(*tensors).tolist() == ranks_of(scores, gold).tolist()
    assert ranks_of(scores[:0], gold[:0]).shape == (0,)


def test_a_given_pool_size_is_used_in_names() -> None:
    result = Ranking(recall_at=[1], hits_at=[2], pool=20)
    result.add(rank([[1.0] + [0.0] * rest for rest in (18, 19)], [0, 0]), [0, 1])
    assert list(values(result.metrics()).items())[:2] == [("R_20@1", 1.0), ("hits@2/20", 1.0)]


def test_without_ties_all_metrics_equal_those_of_torchmetrics() -> None:
    source = np.random.default_rng(1)
    scores = 1 + source.permutation(300 * 10).reshape(300, 10) / 3000  # to torchmetrics 0 and less is "not found"
    gold = source.integers(10, size=300)
    target = torch.zeros(300, 10, dtype=torch.bool)
    target[torch.arange(300), torch.from_numpy(gold)] = True
    flat = (torch.from_numpy(scores).flatten(), target.flatten())
    indexes = torch.arange(300).repeat_interleave(10)
    result = ranking(scores, gold, hits_at=[1, 3])
    assert result["mrr"] == pytest.approx(float(RetrievalMRR()(*flat, indexes=indexes)))
    for name, k in (("R_10@1", 1), ("R_10@2", 2), ("R_10@5", 5), ("hits@1/10", 1), ("hits@3/10", 3)):
        assert result[name] == pytest.approx(float(RetrievalHitRate(top_k=k)(*flat, indexes=indexes)))
    assert result["gold_score"] == pytest.approx(scores[range(300), gold].mean())


def test_metrics_of_several_gold_candidates_equal_torchmetrics() -> None:
    source = np.random.default_rng(2)
    for _ in range(100):
        scores = 1 + source.permutation(12) / 12
        gold = source.permutation(12)[: source.integers(1, 5)]
        [result] = rank([scores], [gold])
        target = torch.zeros(12, dtype=torch.bool)
        target[torch.from_numpy(gold)] = True
        pair = torch.from_numpy(scores), target
        assert reciprocal_rank(result.ranks) == pytest.approx(float(retrieval_reciprocal_rank(*pair)))
        for k in (1, 2, 5):
            assert recall(result.ranks, k) == pytest.approx(float(retrieval_recall(*pair, top_k=k)))
            assert hit(result.ranks, k) == float(retrieval_hit_rate(*pair, top_k=k))


@pytest.mark.parametrize("constant", [0.0, 1.0, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("position", ["first", "last", "any"])
def test_a_constant_scorer_has_no_hits(constant: float, position: str) -> None:
    gold = {"first": [0] * 8, "last": [9] * 8, "any": list(range(8))}[position]
    scores = np.full((8, 10), constant)
    assert [one.ranks for one in rank(scores, gold)] == [(10,)] * 8
    result = ranking(scores, gold, recall_at=(1, 2, 5, 9), hits_at=[1])
    assert all(result[name] == 0 for name in ("R_10@1", "R_10@2", "R_10@5", "R_10@9", "hits@1/10"))
    assert result["mrr"] == pytest.approx(0.1)


def test_a_constant_scorer_has_no_hits_in_any_pool_with_several_gold_candidates() -> None:
    scores, gold = pools(3, [1.0])
    result = ranking(scores, gold, hits_at=(1, 2))
    assert len(result) == 7
    assert all(value == 0 for name, value in result.items() if "@" in name)


def test_nan_counts_against_the_model_at_any_position() -> None:
    nan = math.nan
    assert rank([[nan, 0.0, -math.inf]], [0])[0].ranks == (3,)
    assert rank([[5.0, nan, 0.0]], [0])[0].ranks == (2,)
    assert rank([[5.0, nan, nan]], [0])[0].ranks == (3,)
    assert rank([[5.0, nan, 0.0, 1.0]], [[1, 0]])[0].ranks == (1, 4)


def test_gold_candidates_do_not_lower_each_others_ranks() -> None:
    assert rank([[3.0, 3.0, 2.0, 1.0]], [[0, 1]])[0].ranks == (1, 2)
    assert rank([[3.0, 1.0, 2.0, 1.0]], [[0, 1]])[0].ranks == (1, 4)


def test_arrays_tensors_and_lists_have_the_same_ranks() -> None:
    scores = np.random.default_rng(4).random((5, 6)).astype(np.float32)
    gold = np.array([0, 5, 2, 2, 1])
    expected = rank(scores.tolist(), gold.tolist())
    tensors: Any = torch.from_numpy(scores), torch.from_numpy(gold)
    assert rank(scores, gold) == rank(*tensors) == expected
    assert rank(scores, gold[:, None]) == expected


def test_names_contain_the_pool_size_of_the_included_examples() -> None:
    result = ranking([[1.0] + [0.0] * rest for rest in (2, 4, 19)], [0, 0, 0], recall_at=(1, 3, 5, 30), hits_at=(5,))
    assert list(result) == ["R_3-20@1", "R_5-20@3", "R_20@5", "R_3-20@30", "hits@5/20", "mrr", "gold_score"]
    assert math.isnan(result.pop("R_3-20@30"))
    assert set(result.values()) == {1.0}


def test_without_examples_values_are_nan_and_names_have_no_pool_size() -> None:
    metrics = Ranking(hits_at=[1])
    metrics.add(rank(np.zeros((0, 10)), []), [])
    assert list(values(metrics.metrics())) == ["R_n@1", "R_n@2", "R_n@5", "hits@1/n", "mrr", "gold_score"]
    assert all(math.isnan(metric.value) and metric.rows.shape == (0, 2) for metric in metrics.metrics())
    assert all(np.isnan(sample).all() for sample in resample(metrics.metrics(), resamples=3, seed=0))


def test_counts_are_summed_per_conversation_in_order_of_first_example() -> None:
    result = Ranking(recall_at=[1])
    result.add([ExampleRanks((1,), 4, 0.5), ExampleRanks((2,), 4, 1.0)], ["b", "a"])
    result.add([ExampleRanks((4,), 4, 3.0)], ["b"])
    at_one, mrr, score = result.metrics()
    assert at_one.rows.tolist() == [[1, 2], [0, 1]]
    assert mrr.rows.tolist() == [[1.25, 2], [0.5, 1]]
    assert score.rows.tolist() == [[3.5, 2], [1, 1]]
    assert at_one.value == pytest.approx(1 / 3)


def test_resamples_of_conversations_are_those_of_a_plain_loop_over_the_same_draws() -> None:
    source = np.random.default_rng(5)
    units = np.sort(source.integers(6, size=40))
    units = np.unique(units, return_inverse=True)[1]
    examples = rank(source.random((40, 5)), source.integers(5, size=40))
    result = Ranking(recall_at=[1])
    result.add(examples, units.tolist())
    at_one, mrr, _ = resample(result.metrics(), resamples=20, seed=7)
    unit_count = int(units.max()) + 1
    for index, draw in enumerate(np.random.default_rng([7, unit_count]).integers(unit_count, size=(20, unit_count))):
        drawn = [example for unit in draw for example, own in zip(examples, units, strict=True) if own == unit]
        assert at_one[index] == pytest.approx(sum(example.ranks[0] == 1 for example in drawn) / len(drawn))
        assert mrr[index] == pytest.approx(sum(1 / example.ranks[0] for example in drawn) / len(drawn))


@pytest.mark.parametrize("gold_score", [math.nan, math.inf, -math.inf])
def test_a_gold_score_that_is_not_finite_affects_only_the_mean_gold_score(gold_score: float) -> None:
    result = Ranking(recall_at=[1])
    result.add(rank([[gold_score, 0.0], [1.0, 0.0]], [0, 0]), [0, 1])
    at_one, _, score = resample(result.metrics(), resamples=10, seed=0)
    assert not np.isnan(at_one).any() and np.isnan(score).all()
    assert math.isnan(values(result.metrics())["gold_score"])


def test_gold_scores_without_a_finite_mean_cause_no_warning() -> None:
    assert math.isnan(rank([[math.inf, -math.inf, 0.0]], [[0, 1]])[0].gold_score)
    assert rank([[1e308, 1e308, 0.0]], [[0, 1]])[0].gold_score == math.inf


@pytest.mark.parametrize(
    ("scores", "gold", "message"),
    [
        ([[1.0, 2.0]], [0, 1], "1 pools of scores came with the gold columns of 2"),
        ([[1.0, 2.0], [1.0, 2.0]], [0, 2], r"example 1 has the gold columns \[2\]: allowed are 0 to 1"),
        ([[1.0, 2.0]], [-1], r"example 0 has the gold columns \[-1\]: allowed are 0 to 1"),
        ([[1.0, 2.0]], [[]], "at least one is needed"),
        ([[1.0, 2.0, 3.0]], [[1, 1]], "each is named once"),
        ([[1.0, 2.0]], [[0, 1]], "at least one candidate must not be gold"),
        ([[1.0]], [0], "at least one candidate must not be gold"),
        ([[1.0, 2.0]], [[True, False]], "allowed are numbers of columns"),
        ([[1.0, 2.0]], np.array([[True, False]]), "allowed are numbers of columns"),
        ([[1.0, 2.0]], [0.0], "example 0 has 0.0 as gold: allowed are numbers of columns"),
        (np.zeros((2, 3, 4)), [0, 0], r"example 0 has scores of shape \(3, 4\)"),
        ([1.0, 2.0], [0, 0], r"example 0 has scores of shape \(\)"),
    ],
)
def test_invalid_examples_are_refused_with_the_allowed_values(scores: Any, gold: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rank(scores, gold)


def test_units_and_k_are_validated() -> None:
    with pytest.raises(ValueError, match="1 examples came with 2 units"):
        Ranking().add([ExampleRanks((1,), 2, 0.0)], [0, 1])
    for invalid in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="allowed are whole numbers from 1 on"):
            Ranking(recall_at=[invalid])  # type: ignore[list-item]
        with pytest.raises(ValueError, match="hits_at has k"):
            Ranking(hits_at=[invalid])  # type: ignore[list-item]

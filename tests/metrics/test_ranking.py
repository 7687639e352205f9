"""Ranks against plain loops and torchmetrics; what is not certain counts against the model."""

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
    """The worst order that the scores allow: sorted, at equal scores (nan equals all) those that are not gold first."""
    placed: list[int] = []
    left = list(range(len(scores)))
    while left:
        wrong = [i for i in left if i not in gold]
        right = [i for i in left if i in gold]
        ahead = [i for i in wrong if not any(scores[i] < scores[j] for j in right)]
        best = max(right, key=lambda i: -math.inf if math.isnan(scores[i]) else scores[i]) if right else wrong[0]
        placed.append(ahead[0] if ahead else best)
        left.remove(placed[-1])
    return [place for place, i in enumerate(placed, 1) if i in gold]


def pools(seed: int, values: Sequence[float]) -> tuple[list[list[float]], list[list[int]]]:
    source = np.random.default_rng(seed)
    sizes = source.integers(2, 9, size=200)
    scores = [source.choice(values, size=size).tolist() for size in sizes]
    gold = [source.permutation(size)[: source.integers(1, min(size, 4))].tolist() for size in sizes]
    return scores, gold


def values(metrics: Sequence[Metric]) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics}


def ranking(scores: Any, gold: Any, **options: Any) -> dict[str, float]:
    found = Ranking(**options)
    found.add(rank(scores, gold), range(len(scores)))
    return values(found.metrics())


@pytest.mark.parametrize(
    "known", [[0.0], [0, 1, 2], [-math.inf, 0, math.inf, 1], [math.nan, 0, 1, -math.inf], range(1000)]
)
def test_ranks_are_those_of_a_plain_loop_that_places_one_candidate_after_the_other(known: Sequence[float]) -> None:
    scores, gold = pools(len(known), known)
    for mine, columns, found in zip(scores, gold, rank(scores, gold), strict=True):
        assert list(found.ranks) == plain_ranks(mine, columns)
        assert found.pool == len(mine)


@pytest.mark.parametrize("known", [[0.0], [0, 1, 2], [math.nan, 0, 1, -math.inf, math.inf], range(1000)])
def test_ranks_of_a_whole_batch_are_those_of_each_row(known: Sequence[float]) -> None:
    source = np.random.default_rng(len(known))
    scores = source.choice(np.array(known, dtype=np.float32), size=(64, 12))
    gold = source.integers(12, size=64)
    assert ranks_of(scores, gold).tolist() == [one.ranks[0] for one in rank(scores, gold)]
    tensors: Any = torch.from_numpy(scores), torch.from_numpy(gold)
    assert ranks_of(*tensors).tolist() == ranks_of(scores, gold).tolist()
    assert ranks_of(scores[:0], gold[:0]).shape == (0,)


def test_a_name_can_tell_another_pool_than_was_counted() -> None:
    found = Ranking(recall_at=[1], hits_at=[2], pool=20)
    found.add(rank([[1.0] + [0.0] * rest for rest in (18, 19)], [0, 0]), [0, 1])
    assert list(values(found.metrics()).items())[:2] == [("R_20@1", 1.0), ("hits@2/20", 1.0)]


def test_without_ties_everything_is_what_torchmetrics_says() -> None:
    source = np.random.default_rng(1)
    scores = 1 + source.permutation(300 * 10).reshape(300, 10) / 3000  # to torchmetrics 0 and less is "not found"
    gold = source.integers(10, size=300)
    target = torch.zeros(300, 10, dtype=torch.bool)
    target[torch.arange(300), torch.from_numpy(gold)] = True
    asked = torch.from_numpy(scores).flatten(), target.flatten(), torch.arange(300).repeat_interleave(10)
    found = ranking(scores, gold, hits_at=[1, 3])
    assert found["mrr"] == pytest.approx(float(RetrievalMRR()(*asked[:2], indexes=asked[2])))
    for name, k in (("R_10@1", 1), ("R_10@2", 2), ("R_10@5", 5), ("hits@1/10", 1), ("hits@3/10", 3)):
        assert found[name] == pytest.approx(float(RetrievalHitRate(top_k=k)(*asked[:2], indexes=asked[2])))
    assert found["gold_score"] == pytest.approx(scores[range(300), gold].mean())


def test_several_gold_candidates_are_counted_as_torchmetrics_counts_them() -> None:
    source = np.random.default_rng(2)
    for _ in range(100):
        scores = 1 + source.permutation(12) / 12
        gold = source.permutation(12)[: source.integers(1, 5)]
        [found] = rank([scores], [gold])
        target = torch.zeros(12, dtype=torch.bool)
        target[torch.from_numpy(gold)] = True
        pair = torch.from_numpy(scores), target
        assert reciprocal_rank(found.ranks) == pytest.approx(float(retrieval_reciprocal_rank(*pair)))
        for k in (1, 2, 5):
            assert recall(found.ranks, k) == pytest.approx(float(retrieval_recall(*pair, top_k=k)))
            assert hit(found.ranks, k) == float(retrieval_hit_rate(*pair, top_k=k))


@pytest.mark.parametrize("constant", [0.0, 1.0, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("place", ["first", "last", "any"])
def test_a_model_that_scores_all_texts_alike_finds_nothing(constant: float, place: str) -> None:
    gold = {"first": [0] * 8, "last": [9] * 8, "any": list(range(8))}[place]
    scores = np.full((8, 10), constant)
    assert [one.ranks for one in rank(scores, gold)] == [(10,)] * 8
    found = ranking(scores, gold, recall_at=(1, 2, 5, 9), hits_at=[1])
    assert all(found[name] == 0 for name in ("R_10@1", "R_10@2", "R_10@5", "R_10@9", "hits@1/10"))
    assert found["mrr"] == pytest.approx(0.1)


def test_a_constant_finds_nothing_in_pools_of_any_size_with_several_gold_ones() -> None:
    scores, gold = pools(3, [1.0])
    found = ranking(scores, gold, hits_at=(1, 2))
    assert len(found) == 7
    assert all(value == 0 for name, value in found.items() if "@" in name)


def test_a_score_that_is_no_number_counts_against_the_model_wherever_it_stands() -> None:
    nan = math.nan
    assert rank([[nan, 0.0, -math.inf]], [0])[0].ranks == (3,)
    assert rank([[5.0, nan, 0.0]], [0])[0].ranks == (2,)
    assert rank([[5.0, nan, nan]], [0])[0].ranks == (3,)
    assert rank([[5.0, nan, 0.0, 1.0]], [[1, 0]])[0].ranks == (1, 4)


def test_one_gold_candidate_does_not_stand_in_the_way_of_another() -> None:
    assert rank([[3.0, 3.0, 2.0, 1.0]], [[0, 1]])[0].ranks == (1, 2)
    assert rank([[3.0, 1.0, 2.0, 1.0]], [[0, 1]])[0].ranks == (1, 4)


def test_matrices_tensors_and_lists_are_the_same() -> None:
    scores = np.random.default_rng(4).random((5, 6)).astype(np.float32)
    gold = np.array([0, 5, 2, 2, 1])
    expected = rank(scores.tolist(), gold.tolist())
    tensors: Any = torch.from_numpy(scores), torch.from_numpy(gold)
    assert rank(scores, gold) == rank(*tensors) == expected
    assert rank(scores, gold[:, None]) == expected


def test_a_name_tells_the_pool_of_the_examples_that_count() -> None:
    found = ranking([[1.0] + [0.0] * rest for rest in (2, 4, 19)], [0, 0, 0], recall_at=(1, 3, 5, 30), hits_at=(5,))
    assert list(found) == ["R_3-20@1", "R_5-20@3", "R_20@5", "R_3-20@30", "hits@5/20", "mrr", "gold_score"]
    assert math.isnan(found.pop("R_3-20@30"))
    assert set(found.values()) == {1.0}


def test_no_examples_have_no_value_and_a_pool_without_a_number() -> None:
    nothing = Ranking(hits_at=[1])
    nothing.add(rank(np.zeros((0, 10)), []), [])
    assert list(values(nothing.metrics())) == ["R_n@1", "R_n@2", "R_n@5", "hits@1/n", "mrr", "gold_score"]
    assert all(math.isnan(metric.value) and metric.rows.shape == (0, 2) for metric in nothing.metrics())
    assert all(np.isnan(drawn).all() for drawn in resample(nothing.metrics(), resamples=3, seed=0))


def test_counts_are_summed_by_conversation_in_the_order_of_their_first_examples() -> None:
    found = Ranking(recall_at=[1])
    found.add([ExampleRanks((1,), 4, 0.5), ExampleRanks((2,), 4, 1.0)], ["b", "a"])
    found.add([ExampleRanks((4,), 4, 3.0)], ["b"])
    at_one, mrr, score = found.metrics()
    assert at_one.rows.tolist() == [[1, 2], [0, 1]]
    assert mrr.rows.tolist() == [[1.25, 2], [0.5, 1]]
    assert score.rows.tolist() == [[3.5, 2], [1, 1]]
    assert at_one.value == pytest.approx(1 / 3)


def test_resamples_of_conversations_are_those_of_a_plain_loop_over_the_same_draws() -> None:
    source = np.random.default_rng(5)
    units = np.sort(source.integers(6, size=40))
    units = np.unique(units, return_inverse=True)[1]
    examples = rank(source.random((40, 5)), source.integers(5, size=40))
    found = Ranking(recall_at=[1])
    found.add(examples, units.tolist())
    at_one, mrr, _ = resample(found.metrics(), resamples=20, seed=7)
    count = int(units.max()) + 1
    for number, draw in enumerate(np.random.default_rng([7, count]).integers(count, size=(20, count))):
        drawn = [one for unit in draw for one, mine in zip(examples, units, strict=True) if mine == unit]
        assert at_one[number] == pytest.approx(sum(one.ranks[0] == 1 for one in drawn) / len(drawn))
        assert mrr[number] == pytest.approx(sum(1 / one.ranks[0] for one in drawn) / len(drawn))


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_gold_score_that_is_not_finite_leaves_no_mean_and_the_other_numbers_whole(broken: float) -> None:
    found = Ranking(recall_at=[1])
    found.add(rank([[broken, 0.0], [1.0, 0.0]], [0, 0]), [0, 1])
    at_one, _, score = resample(found.metrics(), resamples=10, seed=0)
    assert not np.isnan(at_one).any() and np.isnan(score).all()
    assert math.isnan(values(found.metrics())["gold_score"])


def test_gold_scores_without_a_finite_mean_are_told_without_a_warning() -> None:
    assert math.isnan(rank([[math.inf, -math.inf, 0.0]], [[0, 1]])[0].gold_score)
    assert rank([[1e308, 1e308, 0.0]], [[0, 1]])[0].gold_score == math.inf


@pytest.mark.parametrize(
    ("scores", "gold", "told"),
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
def test_what_cannot_be_ranked_is_told_with_what_is_allowed(scores: Any, gold: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        rank(scores, gold)


def test_units_and_k_are_checked() -> None:
    with pytest.raises(ValueError, match="1 examples came with 2 units"):
        Ranking().add([ExampleRanks((1,), 2, 0.0)], [0, 1])
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="allowed are whole numbers from 1 on"):
            Ranking(recall_at=[wrong])  # type: ignore[list-item]
        with pytest.raises(ValueError, match="hits_at has k"):
            Ranking(hits_at=[wrong])  # type: ignore[list-item]

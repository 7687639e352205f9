"""Learned weights against gradient descent on the formula, and the file of a fusion."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from convmodel.models.selection.fusion import DECAY, Feature, Fusion, learn_features
from convmodel.models.selection.lexical import WordStatistics

STATISTICS = WordStatistics(3, 2.5, {"sea": 2})


@pytest.mark.slow
def test_weights_minimize_the_cross_entropy_of_the_gold_response() -> None:
    generator = np.random.default_rng(0)
    pools = [generator.normal(3.0, 2.0, (size, 3)) for size in (4, 7, 2) * 20]
    gold = [int((pool @ [1.0, -0.5, 0.0] + generator.gumbel(size=len(pool))).argmax()) for pool in pools]
    features = learn_features(["bm25_context", "log_length", "said_already"], pools, gold)
    stacked = np.concatenate(pools)
    weights = torch.zeros(3, dtype=torch.double, requires_grad=True)
    for _ in range(400):
        scores = [torch.from_numpy((pool - stacked.mean(0)) / stacked.std(0)) @ weights for pool in pools]
        losses = [-score.log_softmax(0)[best] for score, best in zip(scores, gold, strict=True)]
        loss = torch.stack(losses).mean() + DECAY * weights.square().sum()
        [gradient] = torch.autograd.grad(loss, weights)
        weights = (weights - gradient).detach().requires_grad_()
    assert [feature.weight for feature in features.values()] == pytest.approx(weights.tolist(), abs=1e-3)
    assert features["log_length"].mean == pytest.approx(stacked[:, 1].mean())


def test_a_feature_that_tells_no_candidates_apart_does_not_count() -> None:
    pools = [np.array([[1.0, 5.0], [0.0, 5.0]]), np.array([[1.0, 7.0], [0.0, 7.0]])]
    features = learn_features(["bm25_context", "bm25_persona"], pools, [0, 0])
    assert features["bm25_context"].weight > 0 and features["bm25_persona"] == Feature(0.0)


def test_a_fusion_is_kept_in_a_json_file(tmp_path: Path) -> None:
    fusion = Fusion({"log_length": Feature(-0.5, 1.25, 2.0)}, STATISTICS, "abc", {"data": "held-out.jsonl"})
    fusion.write(tmp_path)
    assert Fusion.read(tmp_path) == fusion
    saved = json.loads((tmp_path / "fusion.json").read_text())
    assert saved["features"] == {"log_length": {"weight": -0.5, "mean": 1.25, "scale": 2.0}}
    values = {"log_length": np.array([1.25, 3.25])}
    assert fusion.parts(values)["log_length"].tolist() == [0.0, -0.5]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 2}, "is of version 2, not 1"),
        ({"features": {"length": {"weight": 1.0}}}, "there is no feature 'length'; known are encoder_context"),
        ({"features": {"log_length": {"weight": float("inf")}}}, "log_length is Feature"),
        ({"features": {"log_length": {"weight": 1.0, "scale": 0.0}}}, "log_length is Feature"),
        ({"features": {"log_length": 1.0}}, "is damaged"),
        ({"words": {"texts": 0, "mean_length": 1.0, "frequencies": {}}}, "words of 0 texts"),
        ({"words": {"texts": 5, "mean_length": 1.0, "frequencies": {"a": 9}}}, "or in more than there are"),
        ({"words": {}}, "is damaged"),
    ],
)
def test_other_contents_are_told_with_the_file_and_a_remedy(tmp_path: Path, change: dict, told: str) -> None:
    Fusion({"log_length": Feature(1.0)}, STATISTICS).write(tmp_path)
    file = tmp_path / "fusion.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=told) as raised:
        Fusion.read(tmp_path)
    assert "fusion.json" in str(raised.value) and "convmodel fuse" in str(raised.value)

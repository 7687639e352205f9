"""Selectors trained by several processes on the CPU (gloo), compared with one process that has the whole batch."""

import json
import sys
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("pytorch_lightning")

from convmodel.training.shared_batches import encode_together, gather_texts, mean_counts
from tests.training.conftest import TWO, Workshop
from tests.training.test_checkpoint import callback
from tests.training.test_selector_modules import BI, CONVERT, CROSS, POLY, arguments, train

FAMILIES: list[tuple[str, dict[str, Any]]] = [
    (BI, {"model__shared": "false", "data__distractors": 2, "model__cached_gradients": "true"}),
    (POLY, {"model__num_codes": 3}),
    (CROSS, {"model__negatives": 2, "data__distractors": 2}),
    (CONVERT, {"model__learning_rate": 1e-3}),
]


@pytest.mark.slow
@pytest.mark.machine
@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
@pytest.mark.parametrize(("kind", "more"), FAMILIES, ids=["bi", "poly", "cross", "convert"])
def test_processes_share_the_negatives_of_their_batches(workshop: Workshop, kind: str, more: dict[str, Any]) -> None:
    """The 250 examples are nine batches of 30, so one of two processes has no last batch."""
    rows = [{"context": [f"a {i}"], "response": f"b {i % 99}", "distractors": ["c", f"d {i}"]} for i in range(250)]
    if kind in (BI, CROSS):
        (workshop.folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    options = {"trainer__max_epochs": 2, "trainer__precision": "32-true", **more}
    spies = {run: callback("LossCurve", file=str(workshop.folder / run)) for run in ("one", "two")}
    two = arguments(workshop, kind, run="two", data__batch_size=30, trainer__callbacks=spies["two"], **options, **TWO)
    result = workshop.fork(two, processes=2)
    assert result.status == 0, result.text
    train(workshop, kind, run="one", data__batch_size=60, trainer__callbacks=spies["one"], **options)
    curve_of_one = np.loadtxt(workshop.folder / "one-0.jsonl")
    curves_of_two = [np.loadtxt(workshop.folder / f"two-{rank}.jsonl") for rank in range(2)]
    assert len(curve_of_one) == 10
    np.testing.assert_allclose(np.mean(curves_of_two, axis=0), curve_of_one, atol=1e-5, rtol=1e-4)  # losses and norms


def test_one_process_encodes_all_texts_itself() -> None:
    texts = [[1, 2], [], [3]]
    cpu = torch.device("cpu")
    assert gather_texts(texts, cpu) == [texts]
    assert mean_counts([3, 0], cpu).tolist() == [3, 1]
    vectors = encode_together(lambda rows: torch.tensor([[float(len(ids))] for ids in rows]), texts)
    assert vectors.tolist() == [[2], [0], [1]]

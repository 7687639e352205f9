"""Selectors trained by several processes on the CPU (gloo), compared with one process that has the whole batch."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("pytorch_lightning")

from convmodel.training.shared_batches import encode_together, gather_texts, mean_counts
from tests.training.conftest import Workshop
from tests.training.test_checkpoint import callback
from tests.training.test_selector_modules import BI, CONVERT, CROSS, POLY, arguments, train

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bi": (BI, {"model__shared": "false", "data__distractors": 2, "model__cached_gradients": "true"}),
    "poly": (POLY, {"model__num_codes": 3}),
    "cross": (CROSS, {"model__negatives": 2, "data__distractors": 2}),
    "convert": (CONVERT, {"model__learning_rate": 1e-3}),
    "lora": (BI, {"model__lora__r": 2}),
    "distilled": (BI, {"model__teacher_negatives": 2, "data__distractors": 2}),
}
"""Classes of modules and their options."""


@pytest.mark.slow
@pytest.mark.machine
@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_processes_share_the_negatives_of_their_batches(workshop: Workshop, family: str, processes: int) -> None:
    """The 250 examples do not divide evenly, so that some processes have no last batch."""
    kind, more = FAMILIES[family]
    rows = [{"context": [f"a {i}"], "response": f"b {i % 99}", "distractors": ["c", f"d {i}"]} for i in range(250)]
    if kind in (BI, CROSS):
        (workshop.folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    options: dict[str, Any] = {
        "trainer__max_epochs": 2,
        "trainer__precision": "32-true",
        **more,
        **_pretrained(workshop, family),
    }
    spies = {
        run: [
            callback("LossCurve", file=str(workshop.folder / run))[0],
            callback("WhatWasRead", folder=str(workshop.folder / run))[0],
        ]
        for run in ("one", "all")
    }
    group: dict[str, Any] = {
        "trainer__strategy": "ddp",
        "trainer__devices": processes,
        "data__batch_size": 60 // processes,
    }
    for run, count, more in (("all", processes, group), ("one", 1, {"data__batch_size": 60})):
        given = arguments(workshop, kind, run=run, trainer__callbacks=spies[run], **options, **more)
        result = workshop.fork(given, processes=count)
        assert result.status == 0, result.text
    curve_of_one = np.loadtxt(workshop.folder / "one-0.jsonl")
    curves = [np.loadtxt(workshop.folder / f"all-{rank}.jsonl") for rank in range(processes)]
    assert len(curve_of_one) == 10
    np.testing.assert_allclose(np.mean(curves, axis=0), curve_of_one, atol=1e-5, rtol=1e-4)  # losses and norms
    assert _examples(workshop.folder / "all") == _examples(workshop.folder / "one")


def _pretrained(workshop: Workshop, family: str) -> dict[str, Any]:
    """Train the model to which adapters are added, or the teacher; return the options that name it."""
    if family not in ("lora", "distilled"):
        return {}
    train(workshop, BI if family == "lora" else CROSS, run="base", trainer__max_steps=2)
    folder = workshop.folder / "base" / "model"
    if family == "lora":
        return {"model__pretrained_model_name_or_path": folder}
    return {"model__pretrained_model_name_or_path": folder, "model__teacher": folder}


def _examples(folder: Path) -> Counter[str]:
    """Return the examples of all epochs that the processes of a run have read."""
    return Counter(line for file in folder.glob("rank-*.jsonl") for line in file.read_text("utf-8").splitlines())


def test_one_process_encodes_all_texts_itself() -> None:
    texts = [[1, 2], [], [3]]
    cpu = torch.device("cpu")
    assert gather_texts(texts, cpu) == [texts]
    assert mean_counts([3, 0], cpu).tolist() == [3, 1]
    vectors = encode_together(lambda rows: torch.tensor([[float(len(ids))] for ids in rows]), texts)
    assert vectors.tolist() == [[2], [0], [1]]

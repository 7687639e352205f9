"""Two processes on the CPU (gloo) against one: the same conversations, the same steps, the same loss."""

import json
import sys
from collections import Counter
from typing import Any

import pytest

from tests.training.conftest import Workshop, difference
from tests.training.test_checkpoint import callback

pytestmark = pytest.mark.slow

TWO: dict[str, Any] = {"trainer__strategy": "ddp", "trainer__devices": 2}
STILL: dict[str, Any] = {f"model__from_scratch__{name}_pdrop": 0 for name in ("resid", "embd", "attn")}


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
def test_two_processes_read_each_conversation_once_and_learn_what_one_learns(workshop: Workshop) -> None:
    """Two processes take the batches in turn, so one process that accumulates two batches makes the same steps."""
    spy = callback("WhatWasRead", folder=str(workshop.folder))
    both = workshop.run_apart(run="two", trainer__max_epochs=2, trainer__callbacks=spy, **TWO, **STILL)
    assert both.status == 0, both.text
    files = [workshop.folder / f"rank-{rank}.jsonl" for rank in range(2)]
    read = [Counter(file.read_text(encoding="utf-8").splitlines()) for file in files]
    workshop.train(
        run="one", trainer__max_epochs=2, trainer__accumulate_grad_batches=2, trainer__callbacks=spy, **STILL
    )
    alone = Counter(files[0].read_text(encoding="utf-8").splitlines()) - read[0]
    assert read[0] + read[1] == alone
    assert {json.loads(line)[0] for line in alone} == {0, 1} and sum(alone.values()) >= 2 * 60
    assert all(sum(share.values()) > 0.3 * sum(alone.values()) for share in read)
    assert workshop.checkpoint("two")["global_step"] == workshop.checkpoint("one")["global_step"]
    assert difference(workshop.weights("two"), workshop.weights("one")) < 1e-4
    losses = {run: workshop.checkpoint(run)["callbacks"]["BestExport"]["best"] for run in ("two", "one")}
    assert losses["two"] == pytest.approx(losses["one"], abs=1e-5)


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
def test_two_processes_unlearn_what_one_unlearns(workshop: Workshop) -> None:
    """Both go on from beginnings of their own batches in the same steps, and count what they repeat together."""
    own = {"share": 0.5, "prefix": 8, "continuation": 8, "ngram": 1}
    options: dict[str, Any] = {f"model__sequence_unlikelihood__{name}": value for name, value in own.items()}
    options |= {"model__unlikelihood_alpha": 0.5, "trainer__max_steps": 6, "trainer__precision": "32-true", **STILL}
    both = workshop.run_apart(run="two", **options, **TWO)
    assert both.status == 0, both.text
    workshop.train(run="one", trainer__accumulate_grad_batches=2, **options)
    assert workshop.checkpoint("one")["global_step"] == 6
    assert difference(workshop.weights("two"), workshop.weights("one")) < 1e-4


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
def test_two_processes_measure_what_one_measures(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    workshop.train(trainer__max_steps=3)
    capsys.readouterr()
    workshop.train("test", ckpt_path="last")
    table = capsys.readouterr().out.strip()
    both = workshop.run_apart("test", ckpt_path="last", **TWO)
    assert both.status == 0, both.text
    assert table in both.text
    assert both.text.count("perplexity per word") == 1

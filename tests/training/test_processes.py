"""Several processes on the CPU (gloo), compared with one: the same conversations, steps and loss."""

import json
import signal
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.training.conftest import SIZES, TWO, Workshop, difference
from tests.training.test_checkpoint import callback

pytestmark = pytest.mark.slow

STILL: dict[str, Any] = {f"model__from_scratch__{name}_pdrop": 0 for name in ("resid", "embd", "attn")}


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
def test_two_processes_read_each_conversation_once_and_learn_as_one_does(workshop: Workshop) -> None:
    """One process that accumulates two batches makes the same steps as two processes."""
    spy = callback("WhatWasRead", folder=str(workshop.folder))
    result = workshop.run_command(run="two", trainer__max_epochs=2, trainer__callbacks=spy, **TWO, **STILL)
    assert result.status == 0, result.text
    files = [workshop.folder / f"rank-{rank}.jsonl" for rank in range(2)]
    rows_by_rank = [Counter(file.read_text(encoding="utf-8").splitlines()) for file in files]
    workshop.train(
        run="one", trainer__max_epochs=2, trainer__accumulate_grad_batches=2, trainer__callbacks=spy, **STILL
    )
    rows_of_one = Counter(files[0].read_text(encoding="utf-8").splitlines()) - rows_by_rank[0]
    assert rows_by_rank[0] + rows_by_rank[1] == rows_of_one
    assert {json.loads(line)[0] for line in rows_of_one} == {0, 1} and sum(rows_of_one.values()) >= 2 * 60
    assert all(sum(rows.values()) > 0.3 * sum(rows_of_one.values()) for rows in rows_by_rank)
    assert workshop.checkpoint("two")["global_step"] == workshop.checkpoint("one")["global_step"]
    assert difference(workshop.weights("two"), workshop.weights("one")) < 1e-4
    losses = {run: workshop.checkpoint(run)["callbacks"]["BestExport"]["best"] for run in ("two", "one")}
    assert losses["two"] == pytest.approx(losses["one"], abs=1e-5)


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("family", ["conversation", "document", "lora"])
def test_several_processes_have_the_loss_curve_of_one(workshop: Workshop, family: str, processes: int) -> None:
    """One process that accumulates the batches of all has the same batches, each once, with the same losses."""
    options: dict[str, Any] = {"trainer__max_epochs": 2, "trainer__precision": "32-true", **STILL}
    if family == "document":
        options |= workshop.fill_with_documents()
    if family == "lora":
        workshop.train(run="base", **STILL)
        options |= dict.fromkeys((*STILL, *(f"model__from_scratch__{name}" for name in SIZES)), ...)
        options |= {"model__pretrained_model_name_or_path": workshop.folder / "base" / "model"}
        options |= {"model__lora__dropout": 0}
    group = {"trainer__strategy": "ddp", "trainer__devices": processes}
    losses = {}
    for run, count, more in (("all", processes, group), ("one", 1, {"trainer__accumulate_grad_batches": processes})):
        spy = callback("LossCurve", file=str(workshop.folder / run))
        result = workshop.fork(workshop.arguments(run=run, trainer__callbacks=spy, **options, **more), processes=count)
        assert result.status == 0, result.text
        curves = [np.loadtxt(f"{workshop.folder / run}-{rank}.jsonl")[:, 0] for rank in range(count)]
        losses[run] = np.stack(curves, 1).ravel()
    # A process without a last batch has the loss 0.
    np.testing.assert_allclose(losses["all"][losses["all"] > 0], losses["one"], rtol=1e-5)
    steps = [workshop.checkpoint(run)["global_step"] for run in ("all", "one")]
    assert steps[0] == steps[1] >= 4


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
@pytest.mark.parametrize(("processes", "accumulated"), [(1, 2), (4, 1), (3, 1)])
def test_another_number_of_processes_reads_each_remaining_conversation_once(
    workshop: Workshop, processes: int, accumulated: int
) -> None:
    """Two processes are killed within the first epoch. With steps of the same size, the weights are theirs too."""
    options: dict[str, Any] = {"trainer__max_epochs": 2, "trainer__precision": "32-true", **STILL}
    options |= {"checkpoint__every_n_steps": 2}
    spies = [callback("KillAt", step=4)[0], callback("WhatWasRead", folder=str(workshop.folder))[0]]
    assert workshop.run_two(run="cut", trainer__callbacks=spies, **options).status == -signal.SIGKILL
    files = sorted(workshop.folder.glob("rank-*.jsonl"))
    assert len(files) == 2
    group = {"trainer__strategy": "ddp"} if processes > 1 else {}
    more: dict[str, Any] = {"trainer__devices": processes, "trainer__accumulate_grad_batches": accumulated, **group}
    arguments = workshop.arguments(run="cut", ckpt_path="last", trainer__callbacks=spies[1:], **options, **more)
    result = workshop.fork(arguments, processes=processes)
    assert result.status == 0, result.text
    assert f"batches that other processes have left, now in {processes}" in result.text
    lines = [line for file in workshop.folder.glob("rank-*.jsonl") for line in file.read_text("utf-8").splitlines()]
    rows: list[Counter[str]] = [Counter(), Counter()]
    for epoch, row in map(json.loads, lines):
        rows[epoch][str(row)] += 1
    assert rows[0] == rows[1] and rows[0].total() >= 60
    if accumulated > 1:
        undisturbed = workshop.run_two(**options)
        assert undisturbed.status == 0, undisturbed.text
        assert workshop.checkpoint("cut")["global_step"] == workshop.checkpoint("two")["global_step"]
        assert difference(workshop.weights("cut"), workshop.weights("two")) < 1e-5


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
def test_sequence_unlikelihood_is_the_same_with_two_processes(workshop: Workshop) -> None:
    """Each process continues prefixes of its own batches, and both share the counts of repeated tokens."""
    settings = {"share": 0.5, "prefix": 8, "continuation": 8, "ngram": 1}
    options: dict[str, Any] = {f"model__sequence_unlikelihood__{name}": value for name, value in settings.items()}
    options |= {"model__unlikelihood_alpha": 0.5, "trainer__max_steps": 6, "trainer__precision": "32-true", **STILL}
    options |= {"data__tokens_per_batch": 512}
    result = workshop.run_two(**options)
    assert result.status == 0, result.text
    workshop.train(run="one", trainer__accumulate_grad_batches=2, **options)
    assert workshop.checkpoint("one")["global_step"] == 6
    assert difference(workshop.weights("two"), workshop.weights("one")) < 1e-4


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
def test_two_processes_print_the_test_results_of_one(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    workshop.train(trainer__max_steps=3)
    capsys.readouterr()
    workshop.train("test", ckpt_path="last")
    table = capsys.readouterr().out.strip()
    result = workshop.run_two("test", run="run", ckpt_path="last")
    assert result.status == 0, result.text
    assert table in result.text
    assert result.text.count("perplexity per word") == 1

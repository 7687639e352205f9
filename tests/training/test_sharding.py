"""Weights that are distributed over processes (FSDP 2), compared with processes that hold all weights (ddp)."""

import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("pytorch_lightning")

from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy, ModelParallelStrategy

from convmodel.models.conversation_model import ConversationModel
from convmodel.training.sharding import has_shards, refuse_shards, saves_shards
from tests.training.conftest import Workshop, difference
from tests.training.test_processes import STILL
from tests.training.test_selector_modules import BI, arguments

SHARDED: dict[str, Any] = {
    "trainer__strategy": {
        "class_path": "ModelParallelStrategy",
        "init_args": {"data_parallel_size": 2, "tensor_parallel_size": 1},
    },
    "trainer__devices": 2,  # the default optimiser is AdamW then
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
def test_sharded_weights_are_resumed_and_exported_as_those_of_ddp(workshop: Workshop) -> None:
    options: dict[str, Any] = {"trainer__precision": "32-true", "model__schedule": "constant", **STILL}
    for epochs, checkpoint in ((1, ...), (2, "last")):
        more: dict[str, Any] = {"trainer__max_epochs": epochs, "ckpt_path": checkpoint}
        result = workshop.fork(workshop.arguments(run="shards", **options, **SHARDED, **more), processes=2)
        assert result.status == 0, result.text
    folder = workshop.folder / "shards" / "checkpoints" / "last.ckpt"
    assert len([*folder.glob("*.distcp")]) == 2
    result = workshop.run_two(trainer__max_epochs=2, model__optimizer="adamw", **options)
    assert result.status == 0, result.text
    models = [ConversationModel.from_pretrained(workshop.folder / run / "model") for run in ("shards", "two")]
    assert difference(*(model.hf_model.state_dict() for model in models)) < 1e-4
    files = [workshop.folder / run / "model" / "model.safetensors" for run in ("shards", "two")]
    assert files[0].stat().st_size == files[1].stat().st_size
    again = workshop.run_fork(run="shards", ckpt_path="last", trainer__max_epochs=3, **options)
    assert again.status == 2 and "is a sharded checkpoint; give the trainer.strategy of its run" in again.text


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
def test_what_cannot_be_sharded_is_refused(workshop: Workshop) -> None:
    result = workshop.fork(workshop.arguments(model__unlikelihood_alpha=0.5, **SHARDED), processes=2)
    assert result.status == 2 and "model.unlikelihood_alpha=0.5 with trainer.strategy=ModelParallelS" in result.text
    tensors = SHARDED | {"trainer__strategy": {"class_path": "ModelParallelStrategy"}}
    result = workshop.fork(workshop.arguments(**tensors), processes=2)
    assert result.status == 2 and "data_parallel_size 2 --trainer.strategy.tensor_parallel_size 1" in result.text
    result = workshop.fork(arguments(workshop, BI, **SHARDED), processes=2)
    assert result.status == 2 and "a bi-encoder with trainer.strategy=ModelParallelStrategy is not supp" in result.text


def test_strategies_that_shard() -> None:
    strategies = (DDPStrategy(), FSDPStrategy(), FSDPStrategy(state_dict_type="sharded"), ModelParallelStrategy())
    trainers = [cast(Trainer, SimpleNamespace(strategy=strategy)) for strategy in strategies]
    assert [*map(has_shards, trainers)] == [False, True, True, True]
    assert [*map(saves_shards, trainers)] == [False, False, True, True]
    for trainer in trainers[:3]:
        refuse_shards(trainer, "an option")
    with pytest.raises(ValueError, match="an option with trainer"):
        refuse_shards(trainers[3], "an option")

"""Weights that are distributed over the processes: FSDP, and FSDP 2 by Lightning's ModelParallelStrategy."""

from pathlib import Path
from typing import cast

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.strategies import FSDPStrategy, ModelParallelStrategy
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from transformers import PreTrainedModel

METADATA = "meta.pt"
"""Lightning's file name for the part of a sharded checkpoint that is not weights or optimiser states."""


def refuse_shards(trainer: Trainer, option: str) -> None:
    """Raise ValueError for an option that cannot be combined with ModelParallelStrategy."""
    if isinstance(trainer.strategy, ModelParallelStrategy):
        raise ValueError(f"{option} with trainer.strategy=ModelParallelStrategy is not supported; use ddp")


def has_shards(trainer: Trainer) -> bool:
    """Return whether each process of a trainer holds only a part of the weights."""
    return isinstance(trainer.strategy, FSDPStrategy | ModelParallelStrategy)


def saves_shards(trainer: Trainer) -> bool:
    """Return whether checkpoints of a trainer are folders, in which each process saves its part."""
    strategy = trainer.strategy
    if isinstance(strategy, FSDPStrategy):
        return strategy._state_dict_type == "sharded"
    return isinstance(strategy, ModelParallelStrategy) and strategy._save_distributed_checkpoint


def shard(module: LightningModule, network: PreTrainedModel) -> None:
    """Distribute the weights of each layer, and all others together, over the processes (FSDP 2).

    Raises ValueError if the strategy also divides the computation of a layer (tensor parallelism).
    """
    strategy = module.trainer.strategy
    assert isinstance(strategy, ModelParallelStrategy)
    mesh = strategy.device_mesh["data_parallel"]
    if mesh.size() != strategy.world_size:
        raise ValueError(
            f"trainer.strategy=ModelParallelStrategy divides the weights among {mesh.size()} of {strategy.world_size} "
            "processes, and the computation among the others, which is not supported; give "
            f"--trainer.strategy.data_parallel_size {strategy.world_size} --trainer.strategy.tensor_parallel_size 1"
        )
    names = set(network._no_split_modules or ())
    for layer in network.modules():
        if type(layer).__name__ in names:
            fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)


def full_weights(trainer: Trainer) -> dict[str, Tensor]:
    """Return all weights, in the first process; the others may get none. All processes must call this function."""
    if not (saves_shards(trainer) or isinstance(trainer.strategy, ModelParallelStrategy)):
        return trainer.strategy.lightning_module_state_dict()
    assert trainer.model is not None
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = cast(dict[str, Tensor], get_model_state_dict(trainer.model, options=options))
    names: dict[Tensor, str] = {}
    for name, parameter in trainer.model.named_parameters(remove_duplicate=False):
        if name in weights:  # tied weights are one tensor again, so that they are saved once
            weights[name] = weights[names.setdefault(parameter, name)]
    return weights


def check_loadable(path: str | None, trainer: Trainer) -> None:
    """Raise ValueError if a checkpoint is sharded but the weights of the trainer are not; ignore a `path` of None."""
    if path is not None and Path(path).is_dir() and not has_shards(trainer):
        raise ValueError(
            f"--ckpt_path {path}: is a sharded checkpoint; give the trainer.strategy of its run, or "
            "--model.pretrained_model_name_or_path with its exported folder"
        )


def checkpoint_file(path: str | Path) -> Path:
    """Return the file that holds the options of a checkpoint: `path`, or a file in the folder of a sharded one."""
    return Path(path) / METADATA if Path(path).is_dir() else Path(path)

"""Start the trainer under Ray Train: python ray_train.py --workers 16 -- fit --config /shared/config.yaml ...

Ray places the processes and starts them again after a failure; the trainer itself runs as it does under torchrun, with
Lightning's own strategy and checkpoints.
"""

import argparse
import os
from typing import Any

import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer


def train(options: dict[str, Any]) -> None:
    """Run the trainer in one of Ray's processes, with the variables that torchrun would set."""
    context = ray.train.get_context()
    local_size = context.get_local_world_size()
    os.environ |= {"TORCHELASTIC_RUN_ID": "ray", "GROUP_RANK": str(context.get_node_rank())}  # as torchrun does
    os.chdir(options["folder"])
    nodes = context.get_world_size() // local_size
    from convmodel.trainer import main

    main([*options["arguments"], f"--trainer.devices={local_size}", f"--trainer.num_nodes={nodes}"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="number of processes; one GPU each with --gpu")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--folder", default=os.getcwd(), help="folder that all nodes share; the trainer runs there")
    parser.add_argument("--restarts", type=int, default=3, help="number of failures after which the run ends")
    parser.add_argument("arguments", nargs="+", help="arguments of convmodel.trainer, after --")
    given = parser.parse_args()
    TorchTrainer(
        train,
        train_loop_config={"folder": given.folder, "arguments": given.arguments},
        scaling_config=ScalingConfig(num_workers=given.workers, use_gpu=given.gpu),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=given.restarts)),
    ).fit()

"""Command-line arguments and YAML in, a fitted or measured model out: the LightningCLI behind the trainer."""

import logging
import os
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities import rank_zero_info

from convmodel.errors import report_errors
from convmodel.models.devices import best_device, resolve_dtype
from convmodel.training.checkpoint import RunCheckpoint, newest_checkpoint
from convmodel.training.config import check_duplicate_keys, merge_hyperparameters
from convmodel.training.export import BestExport
from convmodel.training.run_description import RunDescription
from convmodel.training.run_logs import RunLog, RunLogs, capture_logs
from convmodel.training.samples import ReplySamples

DEFAULT_PAIR = {
    "model": {"class_path": "convmodel.training.ConversationModule"},
    "data": {"class_path": "convmodel.training.ConversationDataModule"},
}
TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 10,
    "gradient_clip_val": 1.0,
    "log_every_n_steps": 10,
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
}


class ConversationCLI(LightningCLI):
    """A LightningCLI whose default model and data are the GPT-2 and conversation files."""

    def __init__(self, *arguments: Any, log: RunLog, **options: Any) -> None:
        self._log = log
        super().__init__(*arguments, **options)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what the trainer knows beyond Lightning's Trainer."""
        parser.set_defaults(DEFAULT_PAIR)
        parser.add_argument(
            "--export_dir",
            type=str | None,
            default="model",
            help="Where the best model by validation goes, in place of an older one. null exports nothing.",
        )
        parser.add_class_arguments(ReplySamples, "samples")
        parser.add_class_arguments(RunCheckpoint, "checkpoint")

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """fit, validate and test."""
        known = LightningCLI.subcommands()
        return {name: known[name] for name in ("fit", "validate", "test")}

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand != "fit":
            parser.set_defaults({"verbose": False})  # the module prints its own table
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses everything, and remembers what was given explicitly."""
        self._arguments = sys.argv[1:]
        self.config = parser.parse_args(self._arguments)

    def _parse_ckpt_path(self) -> None:
        """Finds the checkpoint and merges its options: defaults < checkpoint < what was given explicitly.

        Lightning would let the checkpoint win over explicit flags, and start anew where `last` is not found.
        """
        self._checkpoint: dict[str, Any] | None = None
        config = self.config[self.config.subcommand]
        if not config.get("ckpt_path"):
            return
        if config.ckpt_path == "last":
            config.ckpt_path = str(newest_checkpoint(config.trainer.default_root_dir or "."))
            rank_zero_info(f"--ckpt_path last: {config.ckpt_path}")
        if not Path(config.ckpt_path).is_file():
            raise FileNotFoundError(f"--ckpt_path {config.ckpt_path}: no such file; give a .ckpt file, or last")
        self._checkpoint = torch.load(config.ckpt_path, map_location="cpu", weights_only=True, mmap=True)
        kept, mine = self._checkpoint["hyper_parameters"].get("_class_path"), config.model.class_path
        if kept not in (None, mine):
            raise ValueError(
                f"--ckpt_path {config.ckpt_path}: is of a {kept.rpartition('.')[2]}, not of a "
                f"{mine.rpartition('.')[2]}; give a checkpoint of its own kind, or another trainer.default_root_dir"
            )
        explicit = self.parser.parse_args(self._arguments, defaults=False)[self.config.subcommand]
        for line in merge_hyperparameters(config, explicit, self._checkpoint):
            rank_zero_info(line)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the callbacks that every run has, in the order in which they depend on each other.

        Where the user gave no precision, the machine decides. That is not written into the run's config.yaml, so that
        the run can be repeated on another machine.
        """
        chosen = self.config_init[self.config.subcommand]
        export = BestExport(chosen.export_dir, chosen.samples)
        extra = [RunLogs(self._log), chosen.samples, export, chosen.checkpoint, RunDescription(export)]
        given = chosen.trainer.callbacks or []
        chosen.trainer.callbacks = [*(given if isinstance(given, list) else [given]), *extra]
        if chosen.trainer.accelerator == "auto" and (device := os.environ.get("CONVMODEL_DEVICE")):
            kwargs["accelerator"] = device
        if chosen.trainer.precision is None:
            kwargs["precision"] = _choose_precision(chosen.trainer.accelerator)
        return super().instantiate_trainer(**kwargs)

    def after_instantiate_classes(self) -> None:
        """Hands the checkpoint's tokenizer and sizes to the model, and refuses to measure an untrained one."""
        if self._checkpoint is not None and hasattr(self.model, "restore_from"):
            self.model.restore_from(self._checkpoint)
        elif self.subcommand != "fit" and getattr(self.model, "base_model", "") is None:
            raise ValueError(
                f"{self.subcommand} needs a trained model: give --ckpt_path last (or a .ckpt file), "
                "or --model.pretrained_model_name_or_path with an exported folder"
            )
        self._checkpoint = None


def run(arguments: list[str]) -> None:
    """Runs `fit`, `validate` or `test` with its options.

    The arguments are put into `sys.argv`, because Lightning starts further processes with what it finds there.
    """
    silence_library_warnings()
    before = sys.argv[1:]
    sys.argv[1:] = ["--print_config=comments" if a == "--print_config" else a for a in arguments]
    try:
        with report_errors(), capture_logs() as log:
            for path in _config_files(arguments):
                check_duplicate_keys(path)
            ConversationCLI(
                LightningModule,
                LightningDataModule,
                log=log,
                subclass_mode_model=True,
                subclass_mode_data=True,
                auto_configure_optimizers=False,
                seed_everything_default=1,
                trainer_defaults=TRAINER_DEFAULTS,
                save_config_kwargs={"overwrite": True},
                parser_kwargs={"default_env": True, "env_prefix": "CONVMODEL"},
            )
    finally:
        sys.argv[1:] = before


def _choose_precision(accelerator: Any) -> str:
    """Return Lightning's name of the precision of training steps on this machine, and print it."""
    device = best_device() if accelerator in ("auto", "gpu", "cuda", "mps") else torch.device("cpu")
    if resolve_dtype("auto", device, "training") == torch.bfloat16:
        precision, reason = "bf16-mixed", "is fast at bfloat16; validation and test stay in float32"
    else:
        precision, reason = "32-true", "is not fast at bfloat16"
    rank_zero_info(f"precision: {precision} (this {device.type} {reason}; --trainer.precision)")
    if device.type == "cpu":
        rank_zero_info(f"threads: {torch.get_num_threads()} (OMP_NUM_THREADS)")
    return precision


def _config_files(arguments: list[str]) -> list[str]:
    """The files that are named by --config or -c."""
    named = [b for a, b in pairwise(arguments) if a in ("-c", "--config")]
    return named + [a.split("=", 1)[1] for a in arguments if a.startswith("--config=")]


def silence_library_warnings() -> None:
    """Leaves out what a library says about itself in every run."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(lambda r: "Tip:" not in r.getMessage())
    warnings.filterwarnings("ignore", message="(?s).*(was deprecated in v4|JsonargparseDeprecation)")  # Lightning's
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*Total length of .* across ranks is zero.*")  # no valid_file
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # what is logged was summed over all processes
    warnings.filterwarnings("ignore", message=".*is smaller than the logging interval.*")  # of few conversations
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")

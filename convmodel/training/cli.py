"""Command line `python -m convmodel.trainer`, a LightningCLI."""

import contextlib
import io
import logging
import os
import re
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from jsonargparse import Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities import rank_zero_info

from convmodel.data.atomic import check_folder_writable
from convmodel.errors import report_errors
from convmodel.models.devices import best_device, resolve_dtype
from convmodel.models.folder import check_replaceable
from convmodel.training.checkpoint import RunCheckpoint, newest_checkpoint
from convmodel.training.config import check_duplicate_keys, merge_hyperparameters
from convmodel.training.datamodules.base import FilesDataModule
from convmodel.training.export import BestExport
from convmodel.training.memory import StepMemory
from convmodel.training.option_errors import OptionContext, option_names
from convmodel.training.run_description import RunDescription
from convmodel.training.run_logs import RunLogHandler, RunLogs, capture_logs
from convmodel.training.samples import ReplySamples
from convmodel.training.sharding import check_loadable, checkpoint_file
from convmodel.training.short_config import shorten
from convmodel.training.tokenizer import connect
from convmodel.training.torchrun import use_new_store

PRINTING = dict.fromkeys(("--print_config", "--print_config=all"), "--print_config=comments")
"""Options that print the config, and what jsonargparse is given for them."""

DEFAULT_CLASSES = {
    "model": "convmodel.training.ConversationModule",
    "data": "convmodel.training.ConversationDataModule",
}
TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 10,
    "gradient_clip_val": 1.0,
    "log_every_n_steps": 10,
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
}


class ConversationCLI(LightningCLI):
    """LightningCLI whose default model and data are `ConversationModule` and `ConversationDataModule`."""

    def __init__(self, *, log: RunLogHandler, **options: Any) -> None:
        self._log = log
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=1,
            trainer_defaults=TRAINER_DEFAULTS,
            save_config_kwargs={"overwrite": True},
            **options,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.set_defaults({section: {"class_path": path} for section, path in DEFAULT_CLASSES.items()})
        parser.add_argument(
            "--export_dir",
            type=str | None,
            default="model",
            help="Folder for the best model by validation; an older export is replaced. null exports nothing.",
        )
        parser.add_class_arguments(ReplySamples, "samples")
        parser.add_class_arguments(RunCheckpoint, "checkpoint")

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the subcommand in `sys.argv` alone, because the parsers of the others take long to build."""
        return {sys.argv[1]: LightningCLI.subcommands()[sys.argv[1]]}

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand != "fit":
            parser.set_defaults({"verbose": False})  # the module prints its own table
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the arguments, and keep them so that explicit options can be distinguished from defaults later."""
        self._arguments = sys.argv[1:]
        try:
            self.config = parser.parse_args(self._arguments)
        except ArgumentError as error:
            raise ValueError(self._option_context().explain(str(error))) from error

    def _option_context(self) -> OptionContext:
        """Return the arguments, the names of options, and the classes of model and data, for error messages."""
        parser = self._subcommand_parsers[self._arguments[0]]
        names = option_names(parser)
        classes = dict(DEFAULT_CLASSES)
        for name, value in pairwise(self._arguments):
            if name.removeprefix("--") in classes:
                classes[name.removeprefix("--")] = value
        return OptionContext(self._arguments, names, classes)

    def before_instantiate_classes(self) -> None:
        """Check that the model and the run's files can be written, before any file is read."""
        config = self.config[self.config.subcommand]
        if self.config.subcommand == "fit":
            check_folder_writable(config.trainer.default_root_dir or ".")
            if config.export_dir is not None:
                check_replaceable(config.export_dir)

    def _parse_ckpt_path(self) -> None:
        """Find the checkpoint and merge its options: they override defaults, and explicit options override them.

        Lightning's own method would let a checkpoint override explicit options. If `last` were not found, it would
        start a new run.
        """
        self._checkpoint: dict[str, Any] | None = None
        config = self.config[self.config.subcommand]
        if not config.get("ckpt_path"):
            return
        if config.ckpt_path == "last":
            config.ckpt_path = self._newest_checkpoint(config.trainer.default_root_dir or ".")
            if config.ckpt_path is None:
                return
        file = checkpoint_file(config.ckpt_path)
        if not file.is_file():
            raise FileNotFoundError(f"--ckpt_path {config.ckpt_path}: no such file; give a .ckpt file, or last")
        self._checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        saved_class = self._checkpoint["hyper_parameters"].get("_class_path")
        config_class = config.model.class_path
        if saved_class not in (None, config_class):
            raise ValueError(
                f"--ckpt_path {config.ckpt_path}: is a checkpoint of a {saved_class.rpartition('.')[2]}, not of a "
                f"{config_class.rpartition('.')[2]}; give a checkpoint of that class, or another "
                "trainer.default_root_dir"
            )
        explicit = self.parser.parse_args(self._arguments, defaults=False)[self.config.subcommand]
        for line in merge_hyperparameters(config, explicit, self._checkpoint):
            rank_zero_info(line)

    def own_callbacks(self, config: Namespace) -> list[Callback]:
        """Return the callbacks that every run has; `config` holds the instantiated classes."""
        export = BestExport(config.export_dir, config.samples)
        logs = RunLogs(self._log)
        return [logs, config.samples, export, config.checkpoint, RunDescription(export), StepMemory()]

    def _newest_checkpoint(self, root: str) -> str | None:
        """Return the path of the newest checkpoint below `root`; None if torchrun starts a run that has none yet.

        torchrun starts a failed run again with the same command line.
        """
        try:
            path = str(newest_checkpoint(root))
        except FileNotFoundError:
            if self.config.subcommand != "fit" or "TORCHELASTIC_RUN_ID" not in os.environ:
                raise
            rank_zero_info(f"--ckpt_path last: no checkpoint below {root}; starting a new run")
            return None
        rank_zero_info(f"--ckpt_path last: {path}")
        return path

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Return the trainer, with the callbacks that every run has, in the order in which they depend on each other.

        If the user gives no precision, it is chosen for this machine. The chosen precision is not written to the run's
        config.yaml, so that the run can be repeated on another machine. Raises ValueError for options of the trainer
        that Lightning rejects.
        """
        config = self.config_init[self.config.subcommand]
        callbacks = config.trainer.callbacks or []
        callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
        config.trainer.callbacks = [*callbacks, *self.own_callbacks(config)]
        if config.trainer.accelerator == "auto" and (device := os.environ.get("CONVMODEL_DEVICE")):
            kwargs["accelerator"] = device
        if config.trainer.precision is None:
            kwargs["precision"] = _choose_precision(config.trainer.accelerator)
        try:
            return super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(describe_trainer_error(error)) from error

    def after_instantiate_classes(self) -> None:
        """Check the folders of loggers, and resolve the tokenizer of the run.

        Raises ValueError if `validate` or `test` is run on an untrained model.
        """
        for logger in self.trainer.loggers if self.subcommand == "fit" else ():
            if logger.save_dir is not None:
                check_folder_writable(logger.save_dir)
        check_loadable(self.config_init[self.subcommand].get("ckpt_path"), self.trainer)
        if self._checkpoint is not None and hasattr(self.model, "restore_from"):
            self.model.restore_from(self._checkpoint)
        elif self.subcommand != "fit" and getattr(self.model, "base_model", "") is None:
            raise ValueError(
                f"{self.subcommand} needs a trained model: give --ckpt_path last (or a .ckpt file), "
                "or --model.pretrained_model_name_or_path with an exported folder"
            )
        self._checkpoint = None
        if isinstance(self.datamodule, FilesDataModule) and hasattr(self.model, "use_inputs"):
            connect(self.model, self.datamodule)


def run(arguments: list[str]) -> None:
    """Run `fit`, `validate` or `test`.

    The arguments are also put into `sys.argv`, because Lightning passes them from there to further processes.
    """
    silence_library_warnings()
    original_arguments = sys.argv[1:]
    sys.argv[1:] = [PRINTING.get(argument, argument) for argument in arguments]
    try:
        with report_errors(), capture_logs() as log, _shortened_config(arguments):
            for option, value in pairwise(arguments):
                if option in ("-c", "--config"):
                    check_duplicate_keys(value)
            for argument in arguments:
                if argument.startswith("--config="):
                    check_duplicate_keys(argument.removeprefix("--config="))
            use_new_store()
            try:
                ConversationCLI(log=log, parser_kwargs=parser_options(arguments[0], environment=True))
            except MisconfigurationException as error:
                raise ValueError(describe_trainer_error(error)) from error
    finally:
        sys.argv[1:] = original_arguments


@contextlib.contextmanager
def _shortened_config(arguments: list[str]) -> Iterator[None]:
    """Print only the usual options if the arguments ask for a short config."""
    if "--print_config" not in arguments:
        yield
        return
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        if text := printed.getvalue():
            print(shorten(text), end="")


def parser_options(subcommand: str, *, environment: bool) -> dict[str, Any]:
    """Return the options of the parsers: errors raise exceptions, and option names may not be abbreviated.

    Args:
        subcommand: `fit`, `validate` or `test`.
        environment: whether variables of the environment, such as `CONVMODEL_FIT__EXPORT_DIR`, are options too.
    """
    strict = {"exit_on_error": False, "allow_abbrev": False}
    return {"default_env": environment, "env_prefix": "CONVMODEL", **strict, subcommand: strict}


def describe_trainer_error(error: Exception) -> str:
    """Return a one-line message for an error that Lightning raised for the options of the trainer."""
    text = " ".join(str(error).split())[:300].rstrip(".!")
    if re.search("accelerator|backend|device", text, re.IGNORECASE):
        return f"trainer: {text}; leave trainer.accelerator and trainer.devices out to use what this machine has"
    return f"trainer: {text}; correct the trainer.* options (fit --help explains them)"


def _choose_precision(accelerator: Any) -> str:
    """Return the precision of training steps on this machine by Lightning's name, such as "bf16-mixed", and log it."""
    device = best_device() if accelerator in ("auto", "gpu", "cuda", "mps") else torch.device("cpu")
    if resolve_dtype("auto", device, "training") == torch.bfloat16:
        precision = "bf16-mixed"
        reason = "is fast at bfloat16; validation and test stay in float32"
    else:
        precision = "32-true"
        reason = "is not fast at bfloat16"
    rank_zero_info(f"precision: {precision} (this {device.type} {reason}; --trainer.precision)")
    if device.type == "cpu":
        rank_zero_info(f"threads: {torch.get_num_threads()} (OMP_NUM_THREADS)")
    return precision


def silence_library_warnings() -> None:
    """Suppress tips and warnings of libraries that appear in every run and do not concern the user."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(_is_no_tip)
    warnings.filterwarnings("ignore", message="(?s).*(was deprecated in v4|JsonargparseDeprecation)")  # Lightning's
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*Total length of .* across ranks is zero.*")  # no valid_file
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # logged values are already sums of all processes
    warnings.filterwarnings("ignore", message=".*is smaller than the logging interval.*")  # small training files
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")


def _is_no_tip(record: logging.LogRecord) -> bool:
    return "Tip:" not in record.getMessage()

"""The trainer's command line for a run in Python: a config in memory, and nothing that outlives the run."""

import contextlib
import os
import signal
import sys
import threading
import warnings
from argparse import ArgumentError
from collections.abc import Iterator, Mapping
from typing import Any, cast

from jsonargparse import Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ProgressBar, TQDMProgressBar
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.seed import isolate_rng

from convmodel.errors import find_user_error
from convmodel.training.cli import ConversationCLI, describe_trainer_error, parser_options, silence_library_warnings
from convmodel.training.datamodules.base import FilesDataModule
from convmodel.training.export import BestExport
from convmodel.training.fit_result import FitRecorder
from convmodel.training.memory import StepMemory
from convmodel.training.option_errors import OptionContext, option_names
from convmodel.training.run_logs import RunLogs
from convmodel.training.training_module import TrainingModule


class FitCLI(ConversationCLI):
    """Command line of the trainer that takes a config in memory and runs `fit`.

    Args:
        config: the config.
        base_model: see `PythonRun.run`.
        objects: options of the trainer with objects, such as callbacks, which are no part of a config.
        source_names: see `FilesDataModule.source_names`.
        temporary: whether the exported model is only for this run.
        options: see `ConversationCLI`.
    """

    recorder: FitRecorder

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        base_model: str | None,
        objects: Mapping[str, Any],
        source_names: Mapping[str, str],
        temporary: bool,
        **options: Any,
    ) -> None:
        self._given = config
        self._base_model = base_model
        self._objects = dict(objects)
        callbacks = self._objects.pop("callbacks", [])
        self._callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
        self._source_names = source_names
        self._temporary = temporary
        super().__init__(parser_kwargs=parser_options("fit", environment=False), **options)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {"fit": LightningCLI.subcommands()["fit"]}

    def _run_subcommand(self, subcommand: str) -> None:
        """Do nothing: `train` runs it, so that this object exists when a run is interrupted."""

    def train(self) -> None:
        """Run `fit`."""
        super()._run_subcommand("fit")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Check the config, and complete it with defaults."""
        try:
            self.config = parser.parse_object({"subcommand": "fit", "fit": dict(self._given)})
        except ArgumentError as error:
            names = option_names(self._subcommand_parsers["fit"])
            classes = {name: self._given[name]["class_path"] for name in ("model", "data")}
            raise ValueError(OptionContext((), names, classes).explain(str(error))) from error

    def own_callbacks(self, config: Namespace) -> list[Callback]:
        """Return the callbacks of a run in Python, which saves no checkpoints and no description."""
        export = BestExport(config.export_dir, config.samples, temporary=self._temporary)
        self.recorder = FitRecorder(export)
        config.checkpoint.saves = False
        of_run = [RunLogs(self._log), config.samples, export, self.recorder, config.checkpoint, StepMemory()]
        has_bar = any(isinstance(each, ProgressBar) for each in self._callbacks)
        if is_notebook() and config.trainer.enable_progress_bar is not False and not has_bar:
            of_run.append(TQDMProgressBar())  # Lightning's choice, rich, recurses without end in ipykernel 7
        return [*self._callbacks, *of_run]

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        return super().instantiate_trainer(**self._objects, **kwargs)

    def after_instantiate_classes(self) -> None:
        """Resolve the tokenizer; raise ValueError for a run of several processes."""
        if self.trainer.world_size > 1:
            raise ValueError(
                f"devices={self.trainer.world_size}: in Python a model is trained on one device; leave devices out, or "
                "use several with the command: python -m convmodel train --config config.yaml"
            )
        module = cast(TrainingModule, self.model)
        if self._base_model is not None:  # for the model card, in place of a temporary folder
            module.base_model = module.hparams["pretrained_model_name_or_path"] = self._base_model
        cast(FilesDataModule[Any, Any], self.datamodule).source_names = self._source_names
        super().after_instantiate_classes()


def is_notebook() -> bool:
    """Return whether this program runs in a Jupyter kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Restore random generators, handlers of Ctrl-C, filters of warnings and variables of seeds after the block.

    Errors of the user's input leave the block as they were raised, without those of the parser around them.
    """
    seeds = {name: os.environ.get(name) for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")}
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if in_main else None
    try:
        with contextlib.ExitStack() as stack, warnings.catch_warnings():
            generators = isolate_rng()  # which alone would not restore them after an exception
            generators.__enter__()
            stack.callback(generators.__exit__, None, None, None)
            silence_library_warnings()
            yield
    except MisconfigurationException as error:
        raise ValueError(describe_trainer_error(error)) from error
    except (ValueError, OSError) as error:
        user_error = find_user_error(error)
        if user_error is None or user_error is error:
            raise
        raise user_error from None
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        for name, value in seeds.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

"""A running fit in, a checkpoint out that goes on exactly where it was saved; also at Ctrl-C."""

import signal
import threading
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.exceptions import SIGTERMException

from convmodel.data.atomic import atomic_file

STOPPED = (KeyboardInterrupt, SIGTERMException)
"""What ends a run that somebody wants to end."""

CHECKPOINT = Path("checkpoints") / "last.ckpt"
"""Where a run's checkpoint stands inside its folder."""


def run_folder(trainer: Trainer) -> Path:
    """Where a run keeps its things. All processes must ask: the first one tells the others."""
    return Path(trainer.log_dir or trainer.default_root_dir)


def epochs_begun(trainer: Trainer) -> int:
    """How often the training file was begun, in this run and those it goes on from."""
    return int(trainer.fit_loop.epoch_progress.current.ready)


def newest_checkpoint(root: str | Path) -> Path:
    """The checkpoint that was written last by any run below `root`.

    Raises:
        FileNotFoundError: when there is none.
    """
    root = Path(root)
    found = sorted(
        {*root.glob(str(CHECKPOINT)), *root.glob(f"*/*/{CHECKPOINT}"), *root.glob(f"*/{CHECKPOINT}")},
        key=lambda path: path.stat().st_mtime_ns,
    )
    if not found:
        raise FileNotFoundError(f"--ckpt_path last: no run below {root.resolve()} has a {CHECKPOINT}")
    return found[-1]


class RunCheckpoint(Checkpoint):
    """Keeps one checkpoint, `checkpoints/last.ckpt` in the run's folder, always between two optimiser steps.

    It is written every so many steps, at the end of each epoch, around each validation, at the end, and at Ctrl-C.

    Args:
        every_n_steps: Optimiser steps between two checkpoints.
    """

    def __init__(self, every_n_steps: int = 500) -> None:
        if every_n_steps < 1:
            raise ValueError(f"checkpoint.every_n_steps={every_n_steps}; it must be at least 1")
        self._every_n_steps = every_n_steps
        self._saved_at = -1
        self._validation_due = False
        self._interrupted = threading.Event()
        self._old_handler: Any = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes Ctrl-C over: the running step is finished before the run stops."""
        if threading.current_thread() is threading.main_thread():
            self._old_handler = signal.signal(signal.SIGINT, self._on_interrupt)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Gives Ctrl-C back."""
        if self._old_handler is not None and signal.getsignal(signal.SIGINT) == self._on_interrupt:
            signal.signal(signal.SIGINT, self._old_handler)
        self._old_handler = None

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        self._interrupted.set()
        rank_zero_info("\nStopping after this step; press Ctrl-C again to stop at once.")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when it is time; never in the middle of accumulated batches."""
        if trainer.fit_loop._should_accumulate():
            return
        stop = trainer.strategy.reduce_boolean_decision(self._interrupted.is_set(), all=False)
        due = trainer.global_step % self._every_n_steps == 0
        last_batch = batch_idx + 1 == trainer.num_training_batches
        loop = trainer.fit_loop
        assert loop._data_fetcher is not None
        self._validation_due = loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
        ending = trainer.should_stop or trainer.global_step == trainer.max_steps
        if stop or due or last_batch or self._validation_due or ending:
            self._save(trainer)
        if stop:
            self._leave(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Leaves a validation at Ctrl-C; what was trained is saved already."""
        if trainer.state.fn == "fit" and trainer.strategy.reduce_boolean_decision(
            self._interrupted.is_set(), all=False
        ):
            self._leave(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves again, with what the validation told the other callbacks."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._validation_due = False
            self._save(trainer, again=True)

    def state_dict(self) -> dict[str, Any]:
        """Whether the checkpoint was written just before a validation."""
        return {"validation_due": self._validation_due}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes it back."""
        self._validation_due = state_dict["validation_due"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes up for the validation that a run was killed in; Lightning would leave it out."""
        if self._validation_due:
            self._validate(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same for a run that had only this validation to do."""
        if self._validation_due:
            self._validate(trainer)

    def _validate(self, trainer: Trainer) -> None:
        loop = trainer.fit_loop.epoch_loop.val_loop
        loop.restarting = False
        trainer.validating = True
        loop.run()
        trainer.training = True

    def _save(self, trainer: Trainer, *, again: bool = False) -> None:
        if again or trainer.global_step != self._saved_at:
            path = run_folder(trainer) / CHECKPOINT
            # All processes take part in the saving; only the first one has a file to put in its place.
            with atomic_file(path) if trainer.is_global_zero else nullcontext(path) as fresh:
                trainer.save_checkpoint(fresh, weights_only=False)
            self._saved_at = trainer.global_step

    def _leave(self, trainer: Trainer) -> None:
        if self._saved_at >= 0:
            rank_zero_info(
                f"Saved {run_folder(trainer) / CHECKPOINT} at step {self._saved_at:,}; "
                "the same command with --ckpt_path last goes on from there."
            )
        raise KeyboardInterrupt

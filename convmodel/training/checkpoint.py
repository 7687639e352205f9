"""Checkpoints from which a run resumes exactly, also after Ctrl-C."""

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

from convmodel.data.atomic import atomic_file, atomic_folder
from convmodel.tokens.batching import steps_taken
from convmodel.training.sharding import saves_shards

INTERRUPTIONS = (KeyboardInterrupt, SIGTERMException)
"""Exceptions of a run that was stopped on purpose: Ctrl-C and SIGTERM."""

CHECKPOINT = Path("checkpoints") / "last.ckpt"
"""Path of a run's checkpoint inside its folder."""


def run_folder(trainer: Trainer) -> Path:
    """Return the folder of a run.

    All processes must call this function, because Lightning broadcasts `log_dir` from the first process.
    """
    return Path(trainer.log_dir or trainer.default_root_dir)


def epochs_begun(trainer: Trainer) -> int:
    """Return the number of training epochs begun, including those before the run was resumed."""
    return int(trainer.fit_loop.epoch_progress.current.ready)


def newest_checkpoint(root: str | Path) -> Path:
    """Return the path of the most recently written checkpoint of all runs below `root`.

    Raises FileNotFoundError if there are no checkpoints.
    """
    root = Path(root)
    checkpoints = [path for depth in ("", "*/", "*/*/") for path in root.glob(f"{depth}{CHECKPOINT}")]
    if not checkpoints:
        raise FileNotFoundError(f"--ckpt_path last: no run below {root.resolve()} has a {CHECKPOINT}")
    return max(checkpoints, key=lambda path: path.stat().st_mtime_ns)


class RunCheckpoint(Checkpoint):
    """Callback that keeps one checkpoint, `checkpoints/last.ckpt` in the run's folder.

    The checkpoint is saved every `every_n_steps` steps, at the end of each epoch, before and after each validation, at
    the end of training and at Ctrl-C. It is always saved between two optimiser steps.

    Args:
        every_n_steps: Number of optimiser steps between two checkpoints.
    """

    def __init__(self, every_n_steps: int = 500) -> None:
        if every_n_steps < 1:
            raise ValueError(f"checkpoint.every_n_steps={every_n_steps}; it must be at least 1")
        self._every_n_steps = every_n_steps
        self.saves = True
        """Whether checkpoints are saved. A run in Python is not resumed, and saves none."""
        self._saved_at = -1
        self._validation_due = False
        self._interrupted = threading.Event()
        self._old_handler: Any = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install a SIGINT handler that stops the run after the current step."""
        if threading.current_thread() is threading.main_thread():
            self._old_handler = signal.signal(signal.SIGINT, self._on_interrupt)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the previous SIGINT handler."""
        if self._old_handler is not None and signal.getsignal(signal.SIGINT) == self._on_interrupt:
            signal.signal(signal.SIGINT, self._old_handler)
        self._old_handler = None

    def _on_interrupt(self, signum: int, frame: FrameType | None) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        self._interrupted.set()
        rank_zero_info("\nStopping after this step; press Ctrl-C again to stop at once.")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save a checkpoint if one is due, but never between the accumulated batches of one optimiser step."""
        if trainer.fit_loop._should_accumulate():
            return
        stop = self._is_interrupted(trainer)
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
        """Stop the validation after Ctrl-C. The weights were saved before the validation began."""
        if trainer.state.fn == "fit" and self._is_interrupted(trainer):
            self._leave(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the checkpoint again, because the validation changed the state of other callbacks."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._validation_due = False
            self._save(trainer, again=True)

    def state_dict(self) -> dict[str, Any]:
        """Return whether a validation was due when the checkpoint was saved."""
        return {"validation_due": self._validation_due}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._validation_due = state_dict["validation_due"]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Let Lightning count the steps of the epoch as this number of processes would have taken them."""
        if trainer.state.fn != "fit":
            return
        loop = checkpoint["loops"]["fit_loop"]
        for state in loop["state_dict"].get("combined_loader", []):
            progress = loop["epoch_loop.batch_progress"]["current"]
            more = steps_taken(state, trainer.world_size) - progress["ready"] if "of" in state else 0
            if more:
                rank_zero_info(
                    f"The epoch goes on with the {state['of'] - state['batches']:,} batches that other processes have "
                    f"left, now in {trainer.world_size}"
                )
                progress |= {name: count + more for name, count in progress.items() if name != "is_last_batch"}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Repeat the validation during which the resumed run was stopped, because Lightning would skip it."""
        if self._validation_due:
            loop = trainer.fit_loop.epoch_loop.val_loop
            loop.restarting = False
            trainer.validating = True
            loop.run()
            trainer.training = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Repeat the interrupted validation if no training step remains, so that `on_train_start` was not called."""
        self.on_train_start(trainer, pl_module)

    def _save(self, trainer: Trainer, *, again: bool = False) -> None:
        if self.saves and (again or trainer.global_step != self._saved_at):
            path = run_folder(trainer) / CHECKPOINT
            # All processes take part in saving; the first one makes the file or folder.
            new = atomic_folder if saves_shards(trainer) else atomic_file
            with new(path) if trainer.is_global_zero else nullcontext(path) as temporary:
                trainer.save_checkpoint(temporary, weights_only=False)
            self._saved_at = trainer.global_step

    def _is_interrupted(self, trainer: Trainer) -> bool:
        """Return whether any process was interrupted. All processes must call this method."""
        return trainer.strategy.reduce_boolean_decision(self._interrupted.is_set(), all=False)

    def _leave(self, trainer: Trainer) -> None:
        if self._saved_at >= 0:
            rank_zero_info(
                f"Saved {run_folder(trainer) / CHECKPOINT} at step {self._saved_at:,}; "
                "the same command with --ckpt_path last continues from there."
            )
        raise KeyboardInterrupt

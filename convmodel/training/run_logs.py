"""What a run says in; `info.log` and `warnings.log` in its folder out."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pytorch_lightning import Callback, LightningModule, Trainer

from convmodel.training.checkpoint import STOPPED, epochs_begun, run_folder

OWN = logging.getLogger("convmodel.training")
FILES = {"info.log": logging.INFO, "warnings.log": logging.WARNING}
"""What is written where; a file without a line is not made."""

SPEAKING = ("", "convmodel", "pytorch_lightning", "lightning_fabric", "transformers")
"""Loggers that are listened to: the root, ours, and those that may keep to themselves what they say."""

FORMAT = "%(asctime)s %(levelname)s %(message)s"


class RunLog(logging.Handler):
    """Keeps what is said until the run's folder is known, and from then on writes each line at once."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._early: list[logging.LogRecord] | None = []
        self._files: list[logging.Handler] = []
        self._latest: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Takes a line; one that comes through two loggers counts once."""
        if record is self._latest:
            return
        self._latest = record
        if self._early is not None:
            self._early.append(record)
        for file in self._files:
            if record.levelno >= file.level:
                file.handle(record)

    def open(self, folder: Path) -> None:
        """Begins to write, behind what an earlier run in the same folder wrote."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, level in FILES.items():
            file = logging.FileHandler(folder / name, encoding="utf-8", delay=True)
            file.setLevel(level)
            file.setFormatter(logging.Formatter(FORMAT))
            self._files.append(file)
        early, self._early = self._early or [], None
        self._latest = None
        for record in early:
            self.emit(record)

    def forget(self) -> None:
        """Lets go of what was said so far: this process or command has no file to write."""
        self._early = None

    def close(self) -> None:
        """Closes the files."""
        for file in self._files:
            file.close()
        self._files = []
        super().close()


@contextlib.contextmanager
def capture_logs() -> Iterator[RunLog]:
    """Everything that is said in the block through loggers and warnings reaches the log, and whoever else listens."""
    log, level = RunLog(), OWN.level
    loggers = [logging.getLogger(name) for name in SPEAKING]
    shown = warnings.showwarning

    def tell(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = f"{category.__name__}: {message} ({filename}:{lineno})"
        log.handle(logging.LogRecord("py.warnings", logging.WARNING, filename, lineno, text, None, None))
        shown(message, category, filename, lineno, file, line)

    for logger in loggers:
        logger.addHandler(log)
    warnings.showwarning = tell
    OWN.setLevel(logging.INFO)
    try:
        yield log
    finally:
        warnings.showwarning = shown
        OWN.setLevel(level)
        for logger in loggers:
            logger.removeHandler(log)
        log.close()


class RunLogs(Callback):
    """Writes the logs of a run, on its first process.

    Args:
        log: what was said so far, and will be.
    """

    def __init__(self, log: RunLog) -> None:
        self._log = log

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Now the folder is known."""
        folder = run_folder(trainer)
        if stage == "fit" and trainer.is_global_zero:
            self._log.open(folder)
        else:
            self._log.forget()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What a validation came to."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            found = {name: value for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
            told = ", ".join(f"{name} {float(value):.5g}" for name, value in found.items())
            OWN.info("step %d, epoch %d: %s", trainer.global_step, max(epochs_begun(trainer) - 1, 0), told)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Why a run ended before its end."""
        if trainer.state.fn != "fit":
            return
        if isinstance(exception, STOPPED):
            OWN.warning("stopped at step %d", trainer.global_step)
        else:
            OWN.error("failed at step %d", trainer.global_step, exc_info=exception)

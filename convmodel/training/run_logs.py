"""Write the log records and warnings of a run to `info.log` and `warnings.log` in its folder."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from convmodel.training.checkpoint import INTERRUPTIONS, epochs_begun, run_folder

OWN = logging.getLogger("convmodel.training")
MODELS = logging.getLogger("convmodel.models")
FILES = {"info.log": logging.INFO, "warnings.log": logging.WARNING}
"""Log files and their minimum levels. A file is created when its first record is written."""

CAPTURED_LOGGERS = ("", "convmodel", "pytorch_lightning", "lightning_fabric", "transformers")
"""Captured loggers: the root logger, this package's, and those that may set `propagate = False`."""

FORMAT = "%(asctime)s %(levelname)s %(message)s"


class RunLogHandler(logging.Handler):
    """Logging handler that buffers records until the folder of the run is known, then writes records immediately."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._early: list[logging.LogRecord] | None = []
        self._files: list[logging.Handler] = []
        self._latest: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write or buffer a record. A record that arrives through two loggers is written once."""
        if record is self._latest:
            return
        self._latest = record
        if self._early is not None:
            self._early.append(record)
        for file in self._files:
            if record.levelno >= file.level:
                file.handle(record)

    def open(self, folder: Path) -> None:
        """Write buffered and further records to the log files of a folder, after the lines of an earlier run."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, level in FILES.items():
            file = logging.FileHandler(folder / name, encoding="utf-8", delay=True)
            file.setLevel(level)
            file.setFormatter(logging.Formatter(FORMAT))
            self._files.append(file)
        buffered = self._early or []
        self.forget()
        self._latest = None
        for record in buffered:
            self.emit(record)

    def forget(self) -> None:
        """Discard the buffered records, and stop buffering."""
        self._early = None

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
        self._files = []
        super().close()


@contextlib.contextmanager
def capture_logs() -> Iterator[RunLogHandler]:
    """Context manager that also passes all log records and warnings of its block to the yielded `RunLogHandler`."""
    log = RunLogHandler()
    level = OWN.level
    loggers = [logging.getLogger(name) for name in CAPTURED_LOGGERS]
    original_showwarning = warnings.showwarning

    def log_warning(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *more: Any, **named: Any
    ) -> None:
        text = f"{category.__name__}: {message} ({filename}:{lineno})"
        log.handle(logging.LogRecord("py.warnings", logging.WARNING, filename, lineno, text, None, None))
        original_showwarning(message, category, filename, lineno, *more, **named)

    for logger in loggers:
        logger.addHandler(log)
    terminal = logging.StreamHandler()  # with a handler, Python no longer prints warnings by itself
    terminal.setLevel(logging.WARNING)
    MODELS.addHandler(terminal)
    warnings.showwarning = log_warning
    OWN.setLevel(logging.INFO)
    try:
        yield log
    finally:
        warnings.showwarning = original_showwarning
        OWN.setLevel(level)
        MODELS.removeHandler(terminal)
        for logger in loggers:
            logger.removeHandler(log)
        log.close()


class RunLogs(Callback):
    """Callback that opens the log files of a run in its first process, and logs validations and errors."""

    def __init__(self, log: RunLogHandler) -> None:
        self._log = log

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Open the log files in the folder of the run. Only `fit` writes log files, and only its first process."""
        folder = run_folder(trainer)
        if stage == "fit" and trainer.is_global_zero:
            self._log.open(folder)
        else:
            self._log.forget()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the metrics of a validation."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            metrics = {name: value for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
            text = ", ".join(f"{name} {float(value):.5g}" for name, value in metrics.items())
            OWN.info("step %d, epoch %d: %s", trainer.global_step, max(epochs_begun(trainer) - 1, 0), text)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Log the reason for which a run ended early."""
        if trainer.state.fn != "fit":
            return
        if isinstance(exception, INTERRUPTIONS):
            OWN.warning("stopped at step %d", trainer.global_step)
        else:
            OWN.error("failed at step %d", trainer.global_step, exc_info=exception)

"""Log files of a run."""

import contextlib
import logging
import re
import warnings
from pathlib import Path

import pytest

from convmodel.training.run_logs import RunLogHandler, capture_logs
from tests.training.conftest import Workshop
from tests.training.test_checkpoint import callback
from tests.training.test_run_description import description, lines


def test_logs_hold_everything_that_was_said_once_and_by_level(workshop: Workshop) -> None:
    with pytest.warns(UserWarning, match="and this too"):
        said = workshop.train(trainer__callbacks=callback("SpeakAt", step=1))
    info, warned = (lines(workshop.folder / "run" / name) for name in ("info.log", "warnings.log"))
    assert [line.partition("(")[0] for line in warned] == ["WARNING this is odd", "WARNING UserWarning: and this too "]
    assert set(warned) < set(info)
    assert info.count("INFO so far all is well") == 1
    for line in said.splitlines():
        assert info.count(f"INFO {line}") == 1
    loss = re.compile(r"INFO step \d+, epoch 0: val_loss [\d.]+, val_perplexity [\d.]+$")
    assert len(list(filter(loss.match, info))) == 1


def test_a_run_without_a_warning_has_no_file_of_warnings_and_a_test_has_no_logs(workshop: Workshop) -> None:
    workshop.train(trainer__max_steps=1)
    assert not (workshop.folder / "run" / "warnings.log").exists()
    before = (workshop.folder / "run" / "info.log").read_bytes(), description(workshop.folder / "run")
    workshop.train("test", ckpt_path="last")
    assert ((workshop.folder / "run" / "info.log").read_bytes(), description(workshop.folder / "run")) == before


def test_what_listens_is_put_away_after_the_run(tmp_path: Path) -> None:
    root, shown = logging.getLogger(), warnings.showwarning
    handlers = list(root.handlers)
    with contextlib.suppress(RuntimeError), capture_logs() as log:
        log.open(tmp_path)
        root.warning("%s", "within")
        raise RuntimeError
    root.warning("after")
    assert root.handlers == handlers and warnings.showwarning is shown
    assert lines(tmp_path / "warnings.log") == ["WARNING within"]


def test_a_process_without_files_keeps_nothing(tmp_path: Path) -> None:
    log = RunLogHandler()
    log.forget()
    log.handle(logging.LogRecord("a", logging.INFO, "", 0, "lost", None, None))
    log.open(tmp_path)
    assert not list(tmp_path.iterdir())

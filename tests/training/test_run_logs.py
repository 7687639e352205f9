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
from tests.training.test_run_description import description, log_lines


def test_logs_contain_each_message_once_by_level(workshop: Workshop) -> None:
    with pytest.warns(UserWarning, match="and this too"):
        log = workshop.train(trainer__callbacks=callback("SpeakAt", step=1))
    info, warned = (log_lines(workshop.folder / "run" / name) for name in ("info.log", "warnings.log"))
    assert [line.partition("(")[0] for line in warned] == [
        "WARNING this is odd",
        "WARNING UserWarning: and this too ",
    ]
    assert set(warned) < set(info)
    assert info.count("INFO so far all is well") == 1
    for line in log.splitlines():
        assert info.count(f"INFO {line}") == 1
    loss = re.compile(r"INFO step \d+, epoch 0: val_loss [\d.]+, val_perplexity [\d.]+$")
    assert len(list(filter(loss.match, info))) == 1


@pytest.mark.slow
def test_a_run_without_warnings_has_no_warnings_log_and_testing_logs_nothing(workshop: Workshop) -> None:
    workshop.train(trainer__max_steps=1)
    assert not (workshop.folder / "run" / "warnings.log").exists()
    before = (workshop.folder / "run" / "info.log").read_bytes(), description(workshop.folder / "run")
    workshop.train("test", ckpt_path="last")
    assert ((workshop.folder / "run" / "info.log").read_bytes(), description(workshop.folder / "run")) == before


def test_log_handlers_are_removed_after_a_run(tmp_path: Path) -> None:
    root = logging.getLogger()
    showwarning = warnings.showwarning
    handlers = list(root.handlers)
    with contextlib.suppress(RuntimeError), capture_logs() as log:
        log.open(tmp_path)
        root.warning("%s", "within")
        raise RuntimeError
    root.warning("after")
    assert root.handlers == handlers and warnings.showwarning is showwarning
    assert log_lines(tmp_path / "warnings.log") == ["WARNING within"]


def test_a_process_without_log_files_writes_nothing(tmp_path: Path) -> None:
    log = RunLogHandler()
    log.forget()
    log.handle(logging.LogRecord("a", logging.INFO, "", 0, "lost", None, None))
    log.open(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_warning_about_a_model_is_printed_too(capsys: pytest.CaptureFixture[str]) -> None:
    with capture_logs():
        logging.getLogger("convmodel.models.loading").warning("new embeddings are made")
    assert capsys.readouterr().err == "new embeddings are made\n"

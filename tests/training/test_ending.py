"""A run that is killed from outside leaves no process behind: batches are laid out in the trainer's own process."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.training.conftest import Workshop

MARK = "CONVMODEL_TEST_MARK"


def marked(mark: str) -> set[int]:
    """The processes in whose environment a mark stands; whatever a process starts inherits it."""
    found = set()
    for folder in Path("/proc").iterdir():
        with suppress(OSError):  # it is another user's, or has ended meanwhile
            if folder.name.isdecimal() and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
    return found


def comes_true(what: Callable[[], bool], *, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").is_file(), reason="needs /proc"),
]


def test_what_a_killed_process_leaves_behind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    starts_another = (
        "import subprocess, time; subprocess.Popen(['sleep', '60'], start_new_session=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", starts_another]) as process:
        assert comes_true(lambda: len(marked(mark)) == 2, seconds=10)
        process.kill()
    [left] = marked(mark)
    os.kill(left, signal.SIGKILL)
    assert comes_true(lambda: not marked(mark), seconds=5)


@pytest.mark.parametrize("noun", ["conversations", "documents"])
def test_a_trainer_that_is_killed_leaves_no_process(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, noun: str
) -> None:
    """A real kill -9 of the one process that was started, in the middle of an epoch."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    spy = [{"class_path": "tests.training.spies.WhatWasRead", "init_args": {"folder": str(workshop.folder)}}]
    read = workshop.folder / "rank-0.jsonl"
    options = {} if noun == "conversations" else workshop.fill_with_documents()
    arguments = workshop.arguments(trainer__max_epochs=100_000, trainer__callbacks=spy, **options)
    with workshop.spawn(*arguments) as process:
        try:
            begun = comes_true(lambda: read.is_file() and len(read.read_bytes()) > 2_000, seconds=60)
            assert begun and process.poll() is None, process.communicate(timeout=10)[0]
            assert process.pid in marked(mark)
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait(timeout=10) == -signal.SIGKILL
            assert comes_true(lambda: not marked(mark), seconds=5), marked(mark)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

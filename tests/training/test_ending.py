"""A killed run leaves no process behind."""

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


def processes_with_mark(mark: str) -> set[int]:
    """Return the ids of processes with a mark in their environment, which child processes inherit."""
    ids = set()
    for folder in Path("/proc").iterdir():
        with suppress(OSError):  # a process of another user, or one that has ended meanwhile
            if folder.name.isdecimal() and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                ids.add(int(folder.name))
    return ids


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").is_file(), reason="needs /proc"),
]


def test_child_processes_of_a_killed_process_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    program = "import subprocess, time; subprocess.Popen(['sleep', '60'], start_new_session=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        assert wait_until(lambda: len(processes_with_mark(mark)) == 2, seconds=10)
        process.kill()
    [orphan] = processes_with_mark(mark)
    os.kill(orphan, signal.SIGKILL)
    assert wait_until(lambda: not processes_with_mark(mark), seconds=5)


@pytest.mark.parametrize("noun", ["conversations", "documents"])
def test_a_killed_trainer_leaves_no_process(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, noun: str) -> None:
    """The started process is killed with SIGKILL within an epoch."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    spy = [{"class_path": "tests.training.spies.WhatWasRead", "init_args": {"folder": str(workshop.folder)}}]
    rows_file = workshop.folder / "rank-0.jsonl"
    options = {} if noun == "conversations" else workshop.fill_with_documents()
    arguments = workshop.arguments(trainer__max_epochs=100_000, trainer__callbacks=spy, **options)
    with workshop.spawn(*arguments) as process:
        try:
            started = wait_until(lambda: rows_file.is_file() and len(rows_file.read_bytes()) > 2_000, seconds=60)
            assert started and process.poll() is None, process.communicate(timeout=10)[0]
            assert process.pid in processes_with_mark(mark)
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait(timeout=10) == -signal.SIGKILL
            assert wait_until(lambda: not processes_with_mark(mark), seconds=5), processes_with_mark(mark)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

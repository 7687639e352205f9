"""The resumable output of a batch job."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from convmodel.cli.bulk.journal import partial
from convmodel.data.options import ReadOptions
from tests.cli.bulk.harness import lines_of, many, run, write
from tests.fakes import FakeResponder

SKIP = ReadOptions(on_error="skip")

ROOT = Path(__file__).parents[3]


def test_a_complete_file_is_not_written_again(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", many(5))
    run(tmp_path)
    before = (tmp_path / "out.jsonl").stat()
    responder = FakeResponder()
    result = run(tmp_path, responder)
    assert responder.requests == [] and "complete already, 5 lines" in result.summary("out.jsonl")
    assert (tmp_path / "out.jsonl").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 1}, "another seed"),
        ({"options": {"temperature": 0.5}}, "another temperature"),
        ({"options": {"temperature": 0.5}, "last": True}, "another options and another last"),
        ({"digest": "n"}, "another model"),
        ({"persona": ("I like rain.",)}, "another persona"),
        ({"input": "other.jsonl"}, "another input"),
    ],
)
def test_lines_are_only_added_to_those_made_in_the_same_way(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    write(tmp_path / "in.jsonl", [["a", "b"], ["this is too long"] * 2])
    write(tmp_path / "other.jsonl", [["a", "b"], ["c", "d"]])
    with pytest.raises(ValueError, match="does not fit"):
        run(tmp_path)
    if "input" in change:
        change = {"input": str(tmp_path / change["input"])}
    with pytest.raises(ValueError, match=rf"out.jsonl.partial: was begun with {told}; .* \(--overwrite\)"):
        run(tmp_path, **{"read_options": SKIP, **change})
    assert run(tmp_path, **{"read_options": SKIP, "overwrite": True, **change}).resumed == 0
    with pytest.raises(ValueError, match=r"out.jsonl: is there already, made in another way; remove it"):
        run(tmp_path, read_options=SKIP)


def test_a_file_that_no_job_wrote_is_not_replaced(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", many(3))
    (tmp_path / "out.jsonl").write_text("precious\n")
    with pytest.raises(ValueError, match="is there already, made in another way"):
        run(tmp_path)
    assert (tmp_path / "out.jsonl").read_text() == "precious\n"
    run(tmp_path, overwrite=True)
    assert len(lines_of(tmp_path / "out.jsonl")) == 3


@pytest.mark.parametrize("torn", [b'{"turns": ["x', b"\x00\x00\x00\n", b'"a text"\n{"turns": ["a"]}\n'])
def test_a_torn_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    write(tmp_path / "in.jsonl", many(5))
    run(tmp_path)
    whole = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").unlink()
    partial(tmp_path / "out.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:2]) + torn)
    assert run(tmp_path).resumed == 2
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [["a"]])

    class Nested(FakeResponder):
        def start(self, *arguments: Any, **options: Any) -> Any:
            with pytest.raises(ValueError, match=r"out.jsonl.partial: another process is writing it"):
                run(tmp_path)
            return super().start(*arguments, **options)

    assert run(tmp_path, Nested()).lines == 1


@pytest.mark.parametrize(
    ("output", "told"),
    [("no/out.jsonl", "there is no folder"), (".", "is a folder"), ("out.jsonl.gz", "are not written gzipped")],
)
def test_an_output_that_cannot_be_written_is_an_error(tmp_path: Path, output: str, told: str) -> None:
    write(tmp_path / "in.jsonl", [["a"]])
    with pytest.raises((ValueError, OSError), match=told):
        run(tmp_path, output=str(tmp_path / output))


PROGRAM = """\
import sys
from convmodel.cli.bulk.job import ReplyJob
from convmodel.cli.bulk.runner import run_job
from tests.fakes import FakeResponder

responder = FakeResponder(seconds=0.001)
run_job(ReplyJob(responder, input=sys.argv[1], output=sys.argv[2], digest="m", concurrency=5))
"""


def written(output: Path) -> int:
    """How many lines are there before the end."""
    return partial(output).read_bytes().count(b"\n") if partial(output).exists() else 0


@pytest.mark.slow
def test_killed_at_any_moment_and_started_again_it_writes_each_line_once_and_in_order(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", many(150))
    run(tmp_path, output=str(tmp_path / "whole.jsonl"))
    source, kills, seen = random.Random(0), 0, [0]
    output = tmp_path / "out.jsonl"
    while not output.exists():
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "in.jsonl"), str(output)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
        )
        while kills % 3 and process.poll() is None and written(output) <= seen[-1]:  # two of three get somewhere
            time.sleep(0.005)
        try:
            process.wait(source.uniform(0, 0.1))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        _, errors = process.communicate()
        assert errors == b""
        seen.append(written(output))
    assert kills >= 2 and seen[:-1] == sorted(seen[:-1])
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not partial(output).exists()

"""Standard streams as the files of a command."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from convmodel.cli.standard_streams import input_path, output_path

ROOT = Path(__file__).parents[2]


def convert(*arguments: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "convmodel", "convert", *arguments]
    return subprocess.run(command, input=given, capture_output=True, cwd=ROOT, timeout=120, check=False)


def test_convert_reads_and_writes_the_standard_streams(tmp_path: Path) -> None:
    csv = "context,response\nHello,Hi\nCafé?,Sì\n".encode()
    for given in (csv, gzip.compress(csv)):
        done = convert("-", "-", given=given)
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
        assert lines == [{"turns": ["Hello", "Hi"]}, {"turns": ["Café?", "Sì"]}]
        assert done.stderr.decode().splitlines() == ["-: CSV, 2 conversations", "-: 2 conversations written"]
    output = tmp_path / "out.jsonl"
    done = convert("-", str(output), given=csv)
    assert done.stdout.decode().splitlines()[0] == "-: CSV, 2 conversations" and output.is_file()


def test_errors_name_the_standard_input_and_nothing_is_written() -> None:
    done = convert("-", "-", given=b'["a", "b"]\n["c"\n')
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr.startswith(b"error: -:2: ") and done.stderr.count(b"\n") == 1


def test_a_reader_that_goes_is_no_error() -> None:
    given = b'["question", "answer"]\n' * 50_000
    command = f"{sys.executable} -m convmodel convert - - | head -n 1"
    done = subprocess.run(command, shell=True, input=given, capture_output=True, cwd=ROOT, timeout=120, check=True)
    assert done.stdout.count(b"\n") == 1 and b"Traceback" not in done.stderr and b"Broken" not in done.stderr


def test_other_names_are_those_of_files_and_other_errors_pass() -> None:
    with input_path("./-") as source, output_path("a.jsonl") as output:
        assert (source, output) == ("./-", "a.jsonl")
    with pytest.raises(ValueError, match="defect"), output_path("-"):
        raise ValueError("defect")

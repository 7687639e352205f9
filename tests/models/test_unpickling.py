"""The program that reads pickles: its network, its report, and tensors that share memory."""

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from convmodel.models import unpickling


def test_the_reading_process_has_no_network() -> None:
    code = (
        f"import runpy, socket; module = runpy.run_path({unpickling.__file__!r}); module['leave_network']()\n"
        "try: socket.create_connection(('127.0.0.1', 9))\n"
        "except OSError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.stdout == "this process has no network\n"


def test_shared_and_strided_tensors_are_written_whole(tmp_path: Path) -> None:
    table = torch.arange(6.0).reshape(2, 3)
    torch.save({"a": table, "b": table, "c": table.T, "d": table[0], "e": torch.tensor(3)}, tmp_path / "weights.bin")
    report = unpickling.convert([str(tmp_path / "weights.bin")], str(tmp_path / "out.safetensors"))
    assert report == {"tensors": 5, "dtype": "float32"}
    written = load_file(tmp_path / "out.safetensors")
    assert (
        torch.equal(written["b"], table) and torch.equal(written["c"], table.T) and torch.equal(written["d"], table[0])
    )
    assert written["e"].dtype == torch.int64


def test_other_contents_are_damage(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / "weights.bin")
    report = unpickling.convert([str(tmp_path / "weights.bin")], str(tmp_path / "out.safetensors"))
    assert report["damage"] == "holds a list, not tensors by name"

"""What the machine decides, and how any machine decides as another."""

from pathlib import Path
from typing import get_args

import pytest
import torch

from convmodel.generation.cpu import cpu_supports
from convmodel.models.devices import (
    Work,
    auto_dtype,
    best_device,
    describe_choice,
    dtype_name,
    has_fast_bf16,
    resolve_dtype,
)

pytestmark = pytest.mark.machine

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def test_on_a_cpu_only_training_steps_are_computed_in_bfloat16() -> None:
    for fast in (False, True):
        result = {
            work: auto_dtype(work, "cpu", fast_bf16=fast)
            for work in ("training", "validation", "evaluation", "encoding", "replying")
        }
        low = result.pop("training")
        assert low == (torch.bfloat16 if fast else torch.float32)
        assert set(result.values()) == {torch.float32}


def test_on_a_gpu_replies_use_bfloat16_but_stored_or_compared_numbers_do_not() -> None:
    assert auto_dtype("replying", "cuda", fast_bf16=True) == torch.bfloat16
    assert auto_dtype("replying", "cuda", fast_bf16=False) == torch.float32
    for work in ("validation", "evaluation", "encoding"):
        assert auto_dtype(work, "cuda", fast_bf16=True) == torch.float32


REASONS: dict[Work, str] = {
    "training": "a step's rounding is averaged away; weights and optimiser state stay in float32",
    "validation": "compared with other runs, and decides which model is kept",
    "evaluation": "compared with other reports and with thresholds",
    "encoding": "stored, and compared with vectors of another machine",
    "replying": "on a CPU the same seed gives the same reply in any company; on a GPU speed decides",
}
"""Why `auto` chooses as it does; it is shown in the docs."""


def dtype_table() -> str:
    """Return the table of `auto_dtype` in Markdown, as the docs show it."""
    lines = [
        "| work | CPU | CPU with AMX or AVX512-BF16 | GPU from compute capability 8.0 | other devices | why |",
        "|---|---|---|---|---|---|",
    ]
    for work in get_args(Work):
        machines = (("cpu", False), ("cpu", True), ("cuda", True), ("cuda", False))
        types = [dtype_name(auto_dtype(work, kind, fast_bf16=fast)) for kind, fast in machines]
        lines.append(f"| {work} | {' | '.join(types)} | {REASONS[work]} |")
    return "\n".join(lines)


@pytest.mark.parametrize("name", ["training.md", "generation.md"])
def test_the_docs_show_the_table(name: str) -> None:
    assert dtype_table() in (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_an_environment_variable_overrides_whether_bfloat16_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, fast in (("1", True), ("0", False)):
        monkeypatch.setenv("CONVMODEL_BF16", value)
        assert has_fast_bf16(CPU) is fast
        assert resolve_dtype("auto", CPU, "training") == (torch.bfloat16 if fast else torch.float32)
        assert resolve_dtype("auto", CPU, "replying") == torch.float32
        assert resolve_dtype("bfloat16", CPU, "encoding") == torch.bfloat16
    monkeypatch.setenv("CONVMODEL_BF16", "yes")
    with pytest.raises(ValueError, match="CONVMODEL_BF16=yes; allowed are 1"):
        has_fast_bf16(CPU)
    monkeypatch.delenv("CONVMODEL_BF16")
    assert has_fast_bf16(CPU) == cpu_supports("_is_amx_tile_supported", "_is_avx512_bf16_supported")


def test_an_environment_variable_overrides_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("CONVMODEL_DEVICE", raising=False)
    assert best_device().type == "cuda"
    monkeypatch.setenv("CONVMODEL_DEVICE", "cpu")
    assert best_device() == CPU


def test_every_automatic_choice_is_shown_with_its_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVMODEL_DEVICE", "cpu")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    line = describe_choice(None, "auto", "replying")
    count = torch.get_num_threads()
    threads = f"{count} thread{'s' * (count != 1)} (OMP_NUM_THREADS)"
    assert line == f"chosen by this machine: device cpu (--device), dtype float32 (--dtype), {threads}"
    assert describe_choice("cpu", "int8", "replying") == f"chosen by this machine: {threads}"
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert describe_choice("cpu", "float32", "replying") is None

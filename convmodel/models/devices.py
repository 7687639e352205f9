"""Select the device and the number type of a computation from what the machine offers.

Environment variables override each decision, for example to reproduce the choices of another machine:
`CONVMODEL_DEVICE` (such as `cpu`), `CONVMODEL_BF16=1|0` (whether bfloat16 is fast), `CONVMODEL_VNNI=0` (as on a CPU
without 8-bit products), and `OMP_NUM_THREADS` (number of threads, read by torch).
"""

import ctypes
import os
from pathlib import Path
from typing import Literal

import torch

from convmodel.generation.cpu import cpu_supports, override

PAUSE_SOFT = 1
"""The constant omp_pause_soft of OpenMP: threads are ended, settings are kept."""

Work = Literal["training", "validation", "evaluation", "encoding", "replying"]
"""Kinds of work, on which the automatic choice of the number type depends.

- training: a training step, under automatic mixed precision; weights stay in float32.
- validation: `validate`, `test` and the validation of a run.
- evaluation: `evaluate`, and classifiers with a threshold.
- encoding: contexts and candidates as vectors, which are stored in an index or compared with its vectors.
- replying: generating replies and documents.
"""


def best_device() -> torch.device:
    """Return the device named by `CONVMODEL_DEVICE`; by default an accelerator that torch can use, or else the CPU."""
    named = os.environ.get("CONVMODEL_DEVICE")
    if named:
        return torch.device(named)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether matrix products in bfloat16 are faster than in float32 on a device.

    They are on CUDA devices from compute capability 8.0 on, and on CPUs with AMX or AVX512-BF16; on other CPUs bfloat16
    is far slower. `CONVMODEL_BF16` overrides the result for all devices.
    """
    decided = override("CONVMODEL_BF16")
    if decided is not None:
        return decided
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return cpu_supports("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return False


def auto_dtype(work: Work, device_type: str, *, fast_bf16: bool) -> torch.dtype:
    """Return the number type that `auto` stands for in a kind of work.

    It is bfloat16, if that is fast, for training steps, and for replies on a GPU; otherwise float32. Values that are
    stored or compared are always computed in float32.
    """
    suited = work == "training" or (work == "replying" and device_type != "cpu")
    return torch.bfloat16 if suited and fast_bf16 else torch.float32


def resolve_dtype(dtype: str | torch.dtype, device: torch.device, work: Work) -> torch.dtype:
    """Return the torch type of a model's numbers.

    Args:
        dtype: "auto", see `auto_dtype`; or a torch type, or its name.
        device: the device of the model.
        work: the kind of work that "auto" depends on.

    Raises:
        ValueError: for a type that is not a floating-point type.
    """
    if dtype == "auto":
        return auto_dtype(work, device.type, fast_bf16=has_fast_bf16(device))
    named = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(named, torch.dtype) or not named.is_floating_point:
        raise ValueError(f"dtype={dtype!r}; allowed are auto, float32, bfloat16, float16 and float64")
    return named


def dtype_name(dtype: torch.dtype) -> str:
    """Return a type's name as in options, such as "float32"."""
    return str(dtype).removeprefix("torch.")


def describe_choice(device: str | None, dtype: str | None, work: Work) -> str | None:
    """Return a line for users with the automatic choices, each with the option that overrides it.

    Args:
        device: the device that the user chose, or None for an automatic choice. A command without this option passes
            the device that it uses.
        dtype: the number type that the user chose, or None or "auto" for an automatic choice; see `device`.
        work: the kind of work.

    Returns:
        None if there was no automatic choice.
    """
    used = torch.device(device) if device else best_device()
    chosen = [] if device else [f"device {used.type} (--device)"]
    if dtype in (None, "auto"):
        chosen.append(f"dtype {dtype_name(resolve_dtype('auto', used, work))} (--dtype)")
    if used.type == "cpu" and not os.environ.get("OMP_NUM_THREADS"):
        threads = torch.get_num_threads()
        chosen.append(f"{threads} thread{'' if threads == 1 else 's'} (OMP_NUM_THREADS)")
    return f"chosen by this machine: {', '.join(chosen)}" if chosen else None


def release_openmp_threads() -> None:
    """End the worker threads that torch keeps for the calling thread; torch starts them again when it needs them.

    GNU's OpenMP library counts the workers of all threads. If there are more workers than processors, each worker
    sleeps between two operations. A thread that generates replies is then nearly twice as slow, only because another
    thread loaded the model. With other OpenMP libraries this function does nothing.
    """
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return
    names = (line.split(maxsplit=5)[-1].strip() for line in maps.read_text(encoding="utf-8").splitlines())
    for path in {name for name in names if "libgomp" in os.path.basename(name)}:
        pause = getattr(ctypes.CDLL(path), "omp_pause_resource_all", None)
        if pause is not None:
            pause(PAUSE_SOFT)

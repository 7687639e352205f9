"""A device in, what it is quick at out: decided by what it reports, never by hope."""

import ctypes
import os
from pathlib import Path
from typing import cast

import torch

PAUSE_SOFT = 1
"""OpenMP's omp_pause_soft: threads go, settings stay."""


def best_device() -> torch.device:
    """The accelerator torch was built for, if one is there; the CPU otherwise."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def quick_at_bf16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32 on this device.

    CUDA: from compute capability 8.0 on. CPU: with AMX or AVX512-BF16; on others bfloat16 is far slower.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return cpu_has_bf16()
    return False


def number_type(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """What a model's numbers are to be.

    Args:
        dtype: "auto" is bfloat16 where the device is quick at it, and float32 elsewhere; or a torch type, or its name.
        device: where the model is to be.

    Raises:
        ValueError: for what is no type of numbers.
    """
    if dtype == "auto":
        return torch.bfloat16 if quick_at_bf16(device) else torch.float32
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f"dtype={dtype!r}; allowed are auto, float32, bfloat16, float16 and float64")
    return found


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(cast(bool, check()) for name in checks if (check := getattr(torch.cpu, name, None)) is not None)


def dismiss_idle_threads() -> None:
    """Ends the worker threads that torch keeps for the thread that calls this; they come back when it needs them.

    GNU's OpenMP counts the workers of all threads. While there are more than processors, every one of them goes to
    sleep between two operations, and a thread that writes replies is nearly twice as slow for it, because another
    once loaded the model. Elsewhere nothing is done.
    """
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return
    names = (line.split(maxsplit=5)[-1].strip() for line in maps.read_text(encoding="utf-8").splitlines())
    for path in {name for name in names if "libgomp" in os.path.basename(name)}:
        pause = getattr(ctypes.CDLL(path), "omp_pause_resource_all", None)
        if pause is not None:
            pause(PAUSE_SOFT)

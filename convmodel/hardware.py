"""A device in, what it is quick at out: decided by what it reports, never by hope."""

from typing import cast

import torch


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


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(cast(bool, check()) for name in checks if (check := getattr(torch.cpu, name, None)) is not None)

"""Check what this CPU computes in hardware; environment variables decide as another CPU would."""

import os
from typing import cast

import torch


def has_vnni() -> bool:
    """Return whether this CPU sums 8-bit products without overflow; `CONVMODEL_VNNI=0` says that it does not.

    Raises:
        ValueError: for `CONVMODEL_VNNI=1` on a CPU without them.
    """
    decided = override("CONVMODEL_VNNI")
    there = cpu_supports("_is_vnni_supported")
    if decided and not there:
        raise ValueError("CONVMODEL_VNNI=1: this CPU has no VNNI, and 8-bit sums would overflow; allowed is 0")
    return there if decided is None else decided


def override(name: str) -> bool | None:
    """Return what an environment variable decides, 1 or 0; None where it is unset or empty.

    Raises:
        ValueError: for another value.
    """
    value = os.environ.get(name)
    if value not in (None, "", "0", "1"):
        raise ValueError(f"{name}={value}; allowed are 1 (as a machine that has it), 0 (as one without), or unset")
    return None if not value else value == "1"


def cpu_supports(*checks: str) -> bool:
    """Return whether this CPU passes one of the named checks of `torch.cpu`."""
    return any(cast(bool, check()) for name in checks if (check := getattr(torch.cpu, name, None)) is not None)

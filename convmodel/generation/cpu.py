"""Detect the instructions that this CPU supports; environment variables override the detection."""

import os
from typing import cast

import torch


def has_vnni() -> bool:
    """Return whether this CPU sums 8-bit products without overflow (VNNI); `CONVMODEL_VNNI=0` disables it.

    Raises:
        ValueError: for `CONVMODEL_VNNI=1` on a CPU without VNNI.
    """
    forced = override("CONVMODEL_VNNI")
    supported = cpu_supports("_is_vnni_supported")
    if forced and not supported:
        raise ValueError("CONVMODEL_VNNI=1: this CPU has no VNNI, and 8-bit sums would overflow; allowed is 0")
    return supported if forced is None else forced


def override(name: str) -> bool | None:
    """Return the value of an environment variable that is 1 or 0; None if it is unset or empty.

    Raises:
        ValueError: for any other value.
    """
    value = os.environ.get(name)
    if value not in (None, "", "0", "1"):
        raise ValueError(f"{name}={value}; allowed are 1 (the machine has the feature), 0 (it has not), or unset")
    return None if not value else value == "1"


def cpu_supports(*checks: str) -> bool:
    """Return whether this CPU passes one of the named checks of `torch.cpu`."""
    return any(cast(bool, check()) for name in checks if (check := getattr(torch.cpu, name, None)) is not None)

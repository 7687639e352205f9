"""Real weights, beside the checkout: tests that read them are skipped where they are absent."""

import os
from pathlib import Path

import pytest

WEIGHTS = Path(os.environ.get("CONVMODEL_WEIGHTS", Path(__file__).parents[2] / "shared" / "weights"))


def real_weights(pattern: str) -> Path:
    """Return the first path below the folder of weights that matches a pattern, or skip the test."""
    found = sorted(WEIGHTS.glob(pattern)) if WEIGHTS.is_dir() else []
    if not found:
        pytest.skip(f"there is no {pattern} in {WEIGHTS}")
    return found[0]

"""A wait, for the tests of conversations."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, ten seconds at most."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)

"""Progress bar of a batch job, on a terminal and if tqdm is installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from convmodel.cli.bulk.runner import Progress


class _NullProgress:
    """A progress bar that shows nothing."""

    def update(self, n: float | None = 1) -> None:
        pass


@contextmanager
def progress_bar(total: int, done: int, *, unit: str = "replies") -> Iterator[Progress]:
    """Show a progress bar on stderr.

    Args:
        total: number of lines of the output.
        done: number of lines that an earlier run had written.
        unit: plural of the thing counted.
    """
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield _NullProgress()
        return
    with tqdm(total=total, initial=done, unit=f" {unit}", disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:
        yield bar

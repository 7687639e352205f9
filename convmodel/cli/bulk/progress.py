"""How many of how many in, a bar on a terminal out; nothing where there is no terminal or no tqdm."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from convmodel.cli.bulk.runner import Progress


class _Silent:
    """Shows nothing."""

    def update(self, n: float | None = 1) -> None:
        pass


@contextmanager
def progress_bar(total: int, done: int, *, unit: str = "replies") -> Iterator[Progress]:
    """A bar on stderr."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield _Silent()
        return
    with tqdm(total=total, initial=done, unit=f" {unit}", disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:
        yield bar

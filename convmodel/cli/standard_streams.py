"""Standard streams as input and output files of a command, under the name `-`."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

STANDARD = "-"
"""The name of a standard stream; a file of this name must be given as `./-`."""


@contextlib.contextmanager
def input_path(source: str) -> Iterator[str]:
    """Yield the path of an input; for `-` the path of a temporary copy of stdin, which can be read several times.

    In the messages of errors raised in the block, the path of the copy is replaced by `-`.
    """
    if source != STANDARD:
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "stdin")
        with open(path, "wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        try:
            yield path
        except (ValueError, OSError) as error:
            if path not in str(error):
                raise
            raise ValueError(str(error).replace(path, STANDARD)) from error


@contextlib.contextmanager
def output_path(output: str) -> Iterator[str]:
    """Yield the path of an output; for `-` the path of a temporary file that is copied to stdout after the block.

    Nothing is copied when the block ends with an error. A reader that closes the standard output early, such as
    `head`, does not cause an error.
    """
    if output != STANDARD:
        yield output
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "stdout")
        yield path
        try:
            with open(path, "rb") as written:
                shutil.copyfileobj(written, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            discard_stdout()


def discard_stdout() -> None:
    """Redirect stdout to the null device, after its reader closed it. Otherwise Python's flush at exit would fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

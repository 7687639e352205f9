"""The standard streams as files of a command: `-` as the name of its input or output."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

STANDARD = "-"
"""The name of a standard stream; a file of this name is `./-`."""


@contextlib.contextmanager
def input_path(source: str) -> Iterator[str]:
    """Yield the path of a source; for `-` that of a temporary copy of the standard input, which may be read repeatedly.

    Errors in the block name the copy `-`.
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
    """Yield the path of an output; for `-` that of a file that is copied to the standard output at the end.

    Nothing is copied when the block ends with an error. A reader of the standard output that has gone, such as
    `head`, is no error.
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
    """Discard what is written to stdout from now on, because its reader is gone: Python flushes it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

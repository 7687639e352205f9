"""An error of ours in, one line for a person out."""

import contextlib
import os
import sys
import traceback
from collections.abc import Container, Iterator
from pathlib import Path

PACKAGE = str(Path(__file__).parent) + os.sep


class QueueFull(RuntimeError):
    """There are as many waiting requests as are taken; try again when some are done."""


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Ends a command with `error: ...` and status 2 when this package raised because of what it was given.

    So does what the system says of a file, whoever asked for it: no permission, no such folder. Anything else raised
    elsewhere is a defect and keeps its traceback, and so does everything with CONVMODEL_TRACEBACK=1.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        told = next(filter(_is_to_be_told, _with_causes(error)), None)
        if os.environ.get("CONVMODEL_TRACEBACK") or told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        raise SystemExit(2) from None


@contextlib.contextmanager
def require_extra(extra: str, libraries: Container[str], *, needing: str) -> Iterator[None]:
    """Ends a command with the cure and status 2 when a library cannot be imported that an extra brings.

    Args:
        extra: its name.
        libraries: what it brings, by the names that are imported.
        needing: who needs them: "a server needs".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in libraries:
            raise
        print(f'error: {needing} {error.name}; pip install "convmodel[{extra}]"', file=sys.stderr)
        raise SystemExit(2) from None


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from: command-line parsers wrap what a class says of its arguments."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_to_be_told(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    ours = isinstance(error, ValueError | OSError) and bool(frames) and frames[-1].filename.startswith(PACKAGE)
    return ours or (isinstance(error, OSError) and error.filename is not None)

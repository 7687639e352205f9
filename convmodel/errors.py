"""An error of ours in, one line for a person out."""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

PACKAGE = str(Path(__file__).parent) + os.sep


@contextlib.contextmanager
def told_in_one_line() -> Iterator[None]:
    """Ends a command with `error: ...` and status 2 when this package raised because of what it was given.

    So does what the system says of a file, whoever asked for it: no permission, no such folder. Anything else raised
    elsewhere is a defect and keeps its traceback, and so does everything with CONVMODEL_TRACEBACK=1.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        ours = traceback.extract_tb(error.__traceback__)[-1].filename.startswith(PACKAGE)
        of_a_file = isinstance(error, OSError) and error.filename is not None
        if os.environ.get("CONVMODEL_TRACEBACK") or not (ours or of_a_file):
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None

"""Exceptions of the package, and reporting of errors as one line on the command line."""

import contextlib
import difflib
import os
import sys
import traceback
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

PACKAGE = str(Path(__file__).parent) + os.sep


class PersonaTooLong(ValueError):
    """A persona takes so many tokens that no turn fits into the window.

    Args:
        message: the text of the error.
        fitting: the number of persona sentences, counted from the newest, that leave enough room for the newest turn.
            At most half of the room is kept free for that turn.
    """

    def __init__(self, message: str, fitting: int) -> None:
        super().__init__(message)
        self.fitting = fitting


class QueueFull(RuntimeError):
    """The queue of waiting requests is full; try again later."""


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Exit with one line `error: ...` and status 2 when the command in this block fails because of its input.

    Errors of the input are all ValueErrors and OSErrors that this package raises, and all OSErrors about a file (no
    permission, no such folder). Any other exception is a defect and keeps its traceback, as does every exception when
    the environment variable CONVMODEL_TRACEBACK is set.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        user_error = find_user_error(error)
        if os.environ.get("CONVMODEL_TRACEBACK") or user_error is None:
            raise
        print(f"error: {user_error}", file=sys.stderr)
        raise SystemExit(2) from None


@contextlib.contextmanager
def require_extra(extra: str, libraries: Container[str], *, needing: str) -> Iterator[None]:
    """Exit a command with status 2 and the installation command when a library of an extra is missing.

    Args:
        extra: the name of the extra, as in `pip install ".[extra]"`.
        libraries: the import names of the libraries that the extra installs.
        needing: the beginning of the message: "a server needs".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in libraries:
            raise
        print(f"error: {needing} {error.name}; {install_command(extra)}", file=sys.stderr)
        raise SystemExit(2) from None


def install_command(extra: str) -> str:
    """Return the command that installs an extra of this package from the source that the package was installed from.

    The name alone is never given to pip, because on the Python index it is the name of another project. Without a
    record of the source (PEP 610) the command is to be run in a checkout.
    """
    import importlib.metadata  # these modules are slow to import, and only errors need them
    import json
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        record = importlib.metadata.distribution("convmodel").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        record = None
    if not record:
        return f'pip install ".[{extra}]" in a checkout of convmodel'
    source = json.loads(record)
    if (folder := source.get("dir_info")) is not None:
        option = "-e " if folder.get("editable") else ""
        return f'pip install {option}"{url2pathname(urlsplit(source["url"]).path)}[{extra}]"'
    version_control = source.get("vcs_info", {})
    scheme = f"{version_control['vcs']}+" if version_control else ""
    revision = f"@{version_control['requested_revision']}" if version_control.get("requested_revision") else ""
    return f'pip install "convmodel[{extra}] @ {scheme}{source["url"]}{revision}"'


def suggest(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return "did you mean X?" with the known name that is most similar to a name, or `otherwise` if none is."""
    similar = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {similar[0]}?" if similar else otherwise


def find_user_error(error: BaseException) -> BaseException | None:
    """Return an error, or the first of its causes, that is about the user's input; None if none is."""
    return next(filter(_is_user_error, _with_causes(error)), None)


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes. Command-line parsers wrap the errors that a class raises for its arguments."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_user_error(error: BaseException) -> bool:
    """Return whether an error is about the user's input: raised in this package, or about a file."""
    frames = traceback.extract_tb(error.__traceback__)
    in_package = bool(frames) and frames[-1].filename.startswith(PACKAGE)
    has_file = isinstance(error, OSError) and error.filename is not None
    return has_file or (isinstance(error, ValueError | OSError) and in_package)

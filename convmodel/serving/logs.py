"""What happens in, lines of a log out, in which nobody's text stands."""

import contextvars
import logging
import os
import traceback

REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar("convmodel_request_id", default="-")
"""Of the request that is being answered."""


def log_defect(logger: logging.Logger, error: BaseException, *, texts: bool, request_id: str | None = None) -> None:
    """Writes where something went wrong, and not with what: a message of an error may quote a conversation.

    Args:
        error: what was raised.
        texts: whether messages may stand in the log too.
        request_id: of the request; the one that is being answered when left out.
    """
    said = "".join(traceback.format_exception(error)) if texts else where(error)
    logger.error("request %s: %s", request_id or REQUEST_ID.get(), said.rstrip())


def where(error: BaseException) -> str:
    """The kind of an error and the lines of the program that led there."""
    lines = [f"{type(error).__name__}"]
    for frame in traceback.extract_tb(error.__traceback__):
        lines.append(
            f"  {os.path.basename(os.path.dirname(frame.filename))}/{os.path.basename(frame.filename)}"
            f":{frame.lineno} in {frame.name}"
        )
    if error.__cause__ is not None:
        lines.append(f"because of {where(error.__cause__)}")
    return "\n".join(lines)


class _Lines(logging.Formatter):
    """Lines with their time; of an error where it was, and not what it said."""

    def formatException(self, ei: object) -> str:
        error = ei[1] if isinstance(ei, tuple) else None
        return "" if error is None else where(error)


def log_to_stderr(*, texts: bool) -> None:
    """Has the server's lines, and the warnings of what it stands on, written to stderr.

    Args:
        texts: whether messages of errors may stand there, which may quote conversations.
    """
    handler = logging.StreamHandler()
    formatter = logging.Formatter if texts else _Lines
    handler.setFormatter(formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("convmodel.serving", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False

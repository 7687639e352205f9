"""Logging of the server, without the texts of conversations."""

import contextvars
import logging
import traceback
from pathlib import Path

REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar("convmodel_request_id", default="-")
"""Id of the current request; "-" outside requests."""


def log_defect(logger: logging.Logger, error: BaseException, *, texts: bool) -> None:
    """Log an unexpected exception with the request id: its type and traceback.

    The message of the exception may quote a conversation, and is logged only if `texts` is true.
    """
    trace = "".join(traceback.format_exception(error)) if texts else format_trace(error)
    logger.error("request %s: %s", REQUEST_ID.get(), trace.rstrip())


def format_trace(error: BaseException) -> str:
    """Format the type and the traceback of an exception and of its causes, without messages and source lines."""
    lines = [type(error).__name__]
    for frame in traceback.extract_tb(error.__traceback__):
        lines.append(f"  {'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} in {frame.name}")
    if error.__cause__ is not None:
        lines.append(f"because of {format_trace(error.__cause__)}")
    return "\n".join(lines)


class _TraceFormatter(logging.Formatter):
    """Formats exceptions by `format_trace`."""

    def formatException(self, ei: object) -> str:
        error = ei[1] if isinstance(ei, tuple) else None
        return "" if error is None else format_trace(error)


def log_to_stderr(*, texts: bool) -> None:
    """Write the log lines of the server and the warnings of uvicorn to stderr.

    Messages of exceptions may quote conversations, and are written only if `texts` is true.
    """
    handler = logging.StreamHandler()
    formatter = logging.Formatter if texts else _TraceFormatter
    handler.setFormatter(formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("convmodel.serving", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False

"""A secret in, logs in which it does not stand out."""

import logging
import traceback

from convmodel.serving.logs import format_trace

LOGGERS = ("convmodel.serving", "uvicorn")
"""Whose handlers write; see `convmodel.serving.logs`."""


class RedactTokenFilter(logging.Filter):
    """Takes a token out of every line: it is part of each address of the Bot API, and errors like to name addresses.

    Args:
        token: whose second half is the secret.
    """

    def __init__(self, token: str) -> None:
        super().__init__()
        self._secret = token.partition(":")[2]

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every line pass."""
        record.msg, record.args = record.getMessage().replace(self._secret, "..."), ()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and self._secret in "".join(traceback.format_exception(error)):
            record.exc_text = format_trace(error)  # what a formatter finds here it adds, and asks the error for no words
        return True


def hide(token: str) -> None:
    """Hides a token in what is logged from now on, by us and, where nobody else listens, by what we stand on."""
    found = [handler for name in LOGGERS for handler in logging.getLogger(name).handlers]
    for handler in filter(None, [*found, logging.lastResort]):
        handler.addFilter(RedactTokenFilter(token))

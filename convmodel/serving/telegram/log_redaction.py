"""Remove the bot token from log records."""

import logging
import traceback

from convmodel.serving.logs import format_trace


class RedactTokenFilter(logging.Filter):
    """Removes a token from every record: each URL of the Bot API contains it, and exceptions often quote URLs."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._secret = token.partition(":")[2]

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place, and return True."""
        record.msg = record.getMessage().replace(self._secret, "...")
        record.args = ()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and self._secret in "".join(traceback.format_exception(error)):
            record.exc_text = format_trace(error)  # formatters use a cached exc_text instead of the exception's message
        return True


def hide(token: str) -> None:
    """Redact a token from all further log output, including the last-resort handler of libraries."""
    loggers = map(logging.getLogger, ("convmodel.serving", "uvicorn"))  # see `convmodel.serving.logs.log_to_stderr`
    for handler in filter(None, [*(handler for logger in loggers for handler in logger.handlers), logging.lastResort]):
        handler.addFilter(RedactTokenFilter(token))

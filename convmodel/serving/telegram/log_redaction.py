"""Remove the bot token from log records."""

import logging
import traceback

from convmodel.serving.logs import format_trace


class RedactTokenFilter(logging.Filter):
    """Logging filter that removes a token from all records.

    Every URL of the Bot API contains the token, and exceptions often quote URLs.
    """

    def __init__(self, token: str) -> None:
        super().__init__()
        self._secret = token.partition(":")[2]

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove the token from a record in place, and return True, so that the record is logged."""
        record.msg = record.getMessage().replace(self._secret, "...")
        record.args = ()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and self._secret in "".join(traceback.format_exception(error)):
            record.exc_text = format_trace(error)  # formatters prefer exc_text to formatting the exception
        return True


def hide(token: str) -> None:
    """Remove a token from all later log records, also from those of logging's handler of last resort."""
    loggers = map(logging.getLogger, ("convmodel.serving", "uvicorn"))  # see `convmodel.serving.logs.log_to_stderr`
    for handler in filter(None, [*(handler for logger in loggers for handler in logger.handlers), logging.lastResort]):
        handler.addFilter(RedactTokenFilter(token))

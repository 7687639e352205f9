"""The token in log records."""

import logging
import sys

from convmodel.serving.telegram.log_redaction import RedactTokenFilter
from tests.serving.telegram.fake_api import TOKEN


def test_the_token_is_removed_from_messages_and_their_arguments() -> None:
    record = logging.LogRecord("x", 30, "", 0, "%s and %d", (f"https://api/bot{TOKEN}/getMe", 3), None)
    assert RedactTokenFilter(TOKEN).filter(record)
    assert record.getMessage() == "https://api/bot42:.../getMe and 3"


def test_the_token_is_removed_from_the_messages_of_exceptions() -> None:
    try:
        try:
            raise OSError(f"https://api/bot{TOKEN}/getMe")
        except OSError:
            raise RuntimeError(f"no answer from bot{TOKEN}")  # noqa: B904 - as libraries do
    except RuntimeError:
        record = logging.LogRecord("x", 40, "", 0, "Task exception was never retrieved", (), sys.exc_info())
    assert RedactTokenFilter(TOKEN).filter(record)
    line = logging.Formatter().format(record)
    assert "RuntimeError\n" in line and TOKEN.partition(":")[2] not in line

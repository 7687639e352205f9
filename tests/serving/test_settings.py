"""Defaults of a server's settings."""

import pytest

from convmodel.responders.protocol import MAX_RUNNING, MAX_WAITING
from convmodel.serving.settings import LOOPBACK, Settings


def test_as_many_replies_are_open_as_run_and_wait() -> None:
    assert Settings(max_running=2, max_waiting=3).max_open == 5
    assert Settings().max_open == MAX_RUNNING + MAX_WAITING


def test_a_default_server_answers_only_names_of_this_machine_and_logs_no_texts() -> None:
    settings = Settings()
    assert settings.hosts == LOOPBACK and settings.origins == () and not settings.log_texts
    with pytest.raises(AttributeError):
        settings.log_texts = True  # type: ignore[misc]

"""Requests to the server that fail or take long."""

from pathlib import Path

import pytest

from convmodel.serving.telegram import messages as texts
from tests.serving.telegram.fake_api import Fault
from tests.serving.telegram.harness import run, talk, world


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_failed_requests_are_retried(tmp_path: Path, done: bool) -> None:
    async def work() -> None:
        async with world(tmp_path) as w:
            w.api.faults["getMe"] = [Fault(502, body="<html>Bad Gateway</html>")]
            w.api.faults["getUpdates"] = [Fault(None, done=done)]
            w.api.faults["setMyCommands"] = [Fault(500)]
            w.api.faults["sendMessage"] = [Fault(500), Fault(None, done=done)]
            w.server.faults = [0, 503, 500]
            async with w.bot():
                assert await w.ask("Hello") == "re: Hello"
                # What Telegram took before the connection broke is sent again, rather than lost.
                assert await w.api.until(1 + done) == ["re: Hello"] * (1 + done)
            assert await w.server.turns() == ["Hello", "re: Hello"]

    run(work())


def test_a_user_who_waits_long_gets_a_notice_that_the_message_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convmodel.serving.telegram.api_client.PATIENCE", 0.0)

    async def work() -> None:
        async with talk(tmp_path) as w:
            w.server.faults = [None, 503, 429]
            await w.api.say("Hello")
            assert await w.api.until(2) == [texts.LONGER, "re: Hello"]

    run(work())


def test_a_conversation_is_created_once_if_responses_are_lost(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            w.server.faults = [-1, 0, -1]
            assert await w.ask("one") == "re: one"
            keys = [body["key"] for method, path, body in w.server.requests if path == "/conversations"]
            assert len(keys) == 4 and len(set(keys)) == 1
            assert len(await w.server.conversations()) == 1

    run(work())

"""Start and end of the whole bot, between a fake Bot API and a real server."""

import logging
from pathlib import Path

import pytest

from convmodel.serving.telegram.bot import check_address
from convmodel.serving.telegram.commands import COMMANDS
from convmodel.serving.telegram.sending import TokenRefused
from tests.serving.telegram.fake_api import TOKEN, Fault
from tests.serving.telegram.harness import run, talk, world


def test_messages_are_answered_in_the_conversation_of_their_chat(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            assert await w.ask("Hello there") == "re: Hello there"
            assert await w.ask("And you?") == "re: And you?"
            assert await w.ask("Hello", chat=8) == "re: Hello"
            first, second = await w.server.conversations()
            assert [turn.text for turn in first.turns][::2] == ["Hello there", "And you?"]
            assert len(second.turns) == 2
            await w.api.until_confirmed()
            assert w.api.of("setMyCommands")[0].fields["commands"].count('"command"') == len(COMMANDS)
            assert all("parse_mode" not in call.fields for call in w.api.calls)
            assert w.api.of("sendChatAction")[0].fields == {"chat_id": "7", "action": "typing"}

    run(work())


def test_a_rejected_token_ends_the_bot(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path) as w:
            with pytest.raises(TokenRefused, match="rejects the token") as error:
                async with w.bot(token="42:other") as bot:
                    await bot
            assert "other" not in str(error.value)
            for method, answered in (
                ("sendMessage", 1),
                ("getUpdates", 3),
            ):  # the second bot sends a waiting answer too
                with pytest.raises(TokenRefused):
                    async with w.bot() as bot:
                        await w.api.say(f"Hello before {method}")
                        await w.api.until(answered)
                        w.api.faults[method] = [Fault(401, description="Unauthorized")] * 2
                        await w.api.say("Hello")
                        await bot
                w.api.faults.clear()
            async with w.bot():  # with a good token again, nothing is lost
                assert (await w.api.until(4))[-1] == "re: Hello"

    run(work())


def test_the_log_contains_neither_texts_nor_the_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="convmodel")
    caplog.set_level(logging.DEBUG, logger="aiogram")

    async def work() -> None:
        async with world(tmp_path) as w:
            w.api.faults["getUpdates"] = [Fault(None), Fault(200, body='{"ok": "plums"}'), Fault(500)]
            w.api.faults["sendMessage"] = [Fault(None), Fault(200, body='{"ok": 3, "result": "plums"}'), Fault(400)]
            w.server.faults = [0, 500]
            async with w.bot():
                await w.api.say("My secret is plums")
                await w.api.until(1)
                await w.api.push({"update_id": w.api.next_id(), "message": {"text": "plums", "date": "plums"}})
                await w.ask("plums")
        assert len(caplog.messages) > 8
        assert "plums" not in caplog.text and TOKEN.split(":")[1] not in caplog.text

    run(work())


def test_addresses_lose_a_trailing_slash_and_must_be_plain_http() -> None:
    assert check_address("https://example.org:81/bots/", what="x") == "https://example.org:81/bots"
    for bad in ("", "x", "http://", "http://a b", "http://a/{token}", "http://a:99999", "http://a:x", "http://a?b=c"):
        with pytest.raises(ValueError, match="is not the address of x"):
            check_address(bad, what="x")

"""Messages that Telegram delays, rejects, or wants in another place."""

import asyncio
import time
from pathlib import Path

from convmodel.serving.telegram import messages as texts
from tests.serving.telegram.fake_api import ALICE, ME, Fault
from tests.serving.telegram.harness import run, talk


def test_the_bot_pauses_as_long_as_telegram_requests(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            w.api.faults["sendMessage"] = [Fault(429, parameters={"retry_after": 1})]
            began = time.monotonic()
            assert await w.ask("Hello") == "re: Hello"
            assert 1 < time.monotonic() - began < 3

    run(work())


def test_users_who_blocked_the_bot_get_no_message_until_they_write(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            w.api.faults["sendMessage"] = [Fault(403, description="Forbidden: bot was blocked by the user")]
            await w.api.say("Hello")
            while w.api.faults["sendMessage"]:
                await asyncio.sleep(0.01)
            assert await w.ask("Here again") == "re: Here again"
            status = {"chat": {"id": 7, "type": "private"}, "from": ALICE, "date": 1}
            status |= {"old_chat_member": {"status": "member", "user": ME}}
            w.server.hold()
            await w.api.say("one two")
            await w.server.held()
            await w.api.say("waits")
            blocked = {"new_chat_member": {"status": "kicked", "user": ME, "until_date": 0}}
            await w.api.event("my_chat_member", status | blocked)
            await w.api.until_confirmed()
            w.server.go_on()
            await w.api.say("Hello", chat=8)
            await w.api.until(1, chat=8)
            assert "waits" not in await w.server.turns()

    run(work())


def test_the_bot_goes_on_after_rejected_messages_and_moves_of_groups(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            w.api.faults["sendMessage"] = [Fault(400, description="Bad Request: chat not found")]
            assert await w.ask("Hello") == texts.UNSHOWN
            w.server.words = ["  \n "]
            assert await w.ask("Hello") == texts.EMPTY
            w.server.words = None
            moved = Fault(400, description="migrated", parameters={"migrate_to_chat_id": -1003})
            w.api.faults["sendMessage"] = [moved]
            replied = {"reply_to_message": w.api.message("x", chat=-3) | {"from": ME}}
            await w.api.say("Where are we?", chat=-3, **replied)
            assert await w.api.until(1, chat=-1003) == ["re: Where are we?"]
            assert await w.ask("Here", chat=-1003, **replied) == "re: Here"
            assert len(await w.server.conversations()) == 2

    run(work())


def test_group_messages_are_answered_separately_and_in_their_topic(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            await w.api.say("Nobody asked", chat=-9)
            replied = {"reply_to_message": w.api.message("x", chat=-9) | {"from": ME}}
            for text in ("Hello", "Good day"):
                await w.api.say(text, chat=-9, **replied, message_thread_id=4, is_topic_message=True)
            assert await w.api.until(2, chat=-9) == ["re: Hello", "re: Good day"]
            fields = w.api.of("sendMessage")[0].fields
            assert fields["message_thread_id"] == "4" and '"message_id": 3' in fields["reply_parameters"]
            assert (await w.server.turns())[::2] == ["Hello", "Good day"]

    run(work())

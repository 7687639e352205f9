"""Tasks of several chats, and tasks that outlive the bot."""

import time
from pathlib import Path

from convmodel.serving.telegram import messages as texts
from tests.serving.telegram.fake_api import ME
from tests.serving.telegram.harness import run, talk, world


def test_messages_that_arrive_during_a_reply_form_one_turn(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            w.server.hold()
            await w.api.say("First message")
            await w.server.held()
            update_ids = [await w.api.say(text) for text in ("Second", "Third", "/undo", "Fourth")]
            await w.api.event("edited_message", w.api.message("Third!") | {"message_id": 3})
            await w.api.event("edited_message", w.api.message("First!") | {"message_id": 1})
            await w.api.until_confirmed()
            w.server.go_on()
            answers = await w.api.until(4)
            assert answers == ["re: First message", "re: Second\nThird!", "Taken back; 2 turns are left.", "re: Fourth"]
            keys = [body["key"] for _, path, body in w.server.requests if path.endswith("/turns")]
            assert keys[1:] == [f"telegram-42-{update_ids[0]}", f"telegram-42-{update_ids[3]}"]

    run(work())


def test_chats_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path, seconds=0.05) as w:
            began = time.monotonic()
            for chat in range(1, 21):
                await w.api.say("one two three four", chat=chat)
            await w.api.until(20, chat=None)
            assert time.monotonic() - began < 20 * 5 * 0.05 / 2
            assert all(w.api.texts(chat) == ["re: one two three four"] for chat in range(1, 21))

    run(work())


def test_an_album_is_answered_once(tmp_path: Path) -> None:
    photo = {"photo": [{"file_id": "p", "file_unique_id": "u", "width": 1, "height": 1}]}

    async def work() -> None:
        async with world(tmp_path) as w:
            for _ in range(3):
                await w.api.push({"update_id": w.api.next_id(), "message": w.api.message(None) | photo})
            async with w.bot():
                assert await w.ask("Hello") == texts.UNREADABLE
                assert (await w.api.until(2))[1] == "re: Hello"

    run(work())


def test_a_message_is_answered_in_the_new_chat_if_its_group_has_moved(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path) as w:
            replied = {"reply_to_message": w.api.message("x", chat=-3) | {"from": ME}}
            await w.api.say("Where are we?", chat=-3, **replied)
            await w.api.event("message", w.api.message(None, chat=-3, migrate_to_chat_id=-1003))
            async with w.bot():
                assert await w.api.until(1, chat=-1003) == ["re: Where are we?"]

    run(work())


def test_an_interrupted_reply_is_sent_after_the_next_start(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path, grace=0.1) as w:
            async with w.bot():
                w.server.hold()
                await w.api.say("one two three")
                await w.server.held()
                await w.api.say("four")
                await w.api.until_confirmed()
            assert not w.api.texts()
            w.server.go_on()
            async with w.bot():
                assert await w.api.until(2) == ["re: one two three", "re: four"]
            assert await w.server.turns() == ["one two three", "re: one two three", "four", "re: four"]

    run(work())


def test_a_bot_that_shuts_down_finishes_replies_within_the_grace_period(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path, seconds=0.1) as w:
            async with w.bot():
                await w.api.say("one two three")
                await w.api.until(1, chat=None, method="sendChatAction")
            assert w.api.texts() == ["re: one two three"]

    run(work())

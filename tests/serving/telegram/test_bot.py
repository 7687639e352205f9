"""The whole bot between a fake Bot API and a real server, over real HTTP."""

import asyncio
import itertools
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from convmodel.serving.telegram import messages as texts
from convmodel.serving.telegram import task_queue
from convmodel.serving.telegram.commands import COMMANDS
from convmodel.serving.telegram.sending import TokenRefused
from convmodel.serving.telegram.task_queue import Task
from tests.serving.telegram.fake_api import ALICE, ME, TOKEN, Fault, group
from tests.serving.telegram.harness import run, talk, world


def test_a_message_is_replied_to_in_the_conversation_of_its_chat(tmp_path: Path) -> None:
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


def test_the_commands_do_what_they_do_in_the_terminal(tmp_path: Path) -> None:
    said = [
        ("/start", texts.HELLO),
        ("/undo", texts.NOTHING_TO_UNDO),
        ("/retry", texts.NOTHING_TO_REPLY_TO),
        ("/persona", "There is no persona; /persona I like rain. gives one."),
        ("/persona I like rain.", "I like rain."),
        ("/persona add I am old.", "I like rain.\nI am old."),
        ("/persona add", "There is no sentence to add; write /persona add I like rain."),
        (
            "/set",
            "do_sample = true (model)\nnum_return_sequences = 1 (model)\ntemperature = 1.0 (model)\ntop_k = 50 (model)",
        ),
        ("/set temperature 0.5", "temperature = 0.5"),
        ("/set top_k=7", "top_k = 7"),
        ("/set temperature", "temperature = 0.5"),
        ("/set temperature -1", "options.temperature: Input should be greater than or equal to 0.01"),
        ("/set top_k default", "top_k = 50"),
        ("/set top_k default", "top_k was not set"),
        ("/set seed", "There is no option seed; /set lists those in effect"),
        ("/set sed", "There is no option sed; /set lists those in effect"),
        (
            "/set",
            "do_sample = true (model)\nnum_return_sequences = 1 (model)\ntemperature = 0.5 (you)\ntop_k = 50 (model)",
        ),
        ("/preset bald", "There is no preset 'bald'; there are bold, sober"),
        ("/preset bold", "Preset bold."),
        ("/preset", "bold (in effect): temperature=1.5\nsober: do_sample=false"),
        ("/set temperature", "temperature = 1.5"),
        ("/preset off", "No preset: the model's own options."),
        ("Hello", "re: Hello"),
        ("/retry", "re: Hello"),
        ("And you?", "re: And you?"),
        ("/undo", "Taken back; 2 turns are left."),
        ("/reset", "A new conversation; persona and options stay."),
        ("/undo", texts.NOTHING_TO_UNDO),
        ("/persona", "I like rain.\nI am old."),
        ("/persona clear", "There is no persona; /persona I like rain. gives one."),
        ("/rset", "There is no command /rset; did you mean /reset? /help lists them, and //rset says /rset"),
        ("/help undo", "/undo\ntake back the last exchange"),
        ("//help", "re: /help"),
    ]

    async def work() -> None:
        async with talk(tmp_path) as w:
            for text, answer in said:
                assert (text, await w.ask(text)) == (text, answer)
            help = await w.ask("/help")
            assert all(f"{command.usage} - {command.help}" in help for command in COMMANDS)
            about = (await w.server.conversations())[-1].about
            assert (about.persona, about.options, about.preset) == ((), {}, "off")

    run(work())


def test_forget_deletes_every_conversation_of_the_chat_and_what_the_bot_knows(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            await w.ask("Hello from Bob", chat=8)
            for text in ("My secret is plums", "/persona I like plums", "/reset", "More plums"):
                await w.ask(text)
            assert await w.ask("/forget") == texts.FORGOTTEN
            assert await w.server.turns() == ["Hello from Bob", "re: Hello from Bob"]
            assert await w.ask("/persona") == "There is no persona; /persona I like rain. gives one."
            await w.ask("/forget")
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"plums" not in stored and b"SQLite" in stored

    run(work())


def test_messages_that_arrive_while_a_reply_is_made_are_one_turn(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            w.server.hold()
            await w.api.say("First message")
            await w.server.held()
            numbers = [await w.api.say(text) for text in ("Second", "Third", "/undo", "Fourth")]
            await w.api.event("edited_message", w.api.message("Third!") | {"message_id": 3})
            await w.api.event("edited_message", w.api.message("First!") | {"message_id": 1})
            await w.api.until_confirmed()
            w.server.go_on()
            answers = await w.api.until(4)
            assert answers == ["re: First message", "re: Second\nThird!", "Taken back; 2 turns are left.", "re: Fourth"]
            keys = [body["key"] for _, path, body in w.server.asked if path.endswith("/turns")]
            assert keys[1:] == [f"telegram-42-{numbers[0]}", f"telegram-42-{numbers[3]}"]

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


def test_a_long_reply_comes_in_parts_and_order_and_is_shown_while_it_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convmodel.serving.telegram.replies.EVERY", 0.02)

    async def work() -> None:
        async with talk(tmp_path, seconds=0.03) as w:
            w.server.words = ["👋" * 1500 + "\n", "*b*_<i>_\n" * 200, "x" * 4000 + "end"]
            await w.api.say("Tell me a long story")
            parts = await w.api.until(3)
            assert [part[:2] for part in parts] == ["👋👋", "*b", "xx"] and parts[2].endswith("end")
            drafts = w.api.of("sendMessageDraft")
            assert (
                drafts and drafts[0].fields["can_stop"] == "true" and len({d.fields["draft_id"] for d in drafts}) == 1
            )

    run(work())


def test_where_drafts_fail_there_is_typing_and_the_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convmodel.serving.telegram.replies.EVERY", 0.02)

    async def work() -> None:
        async with talk(tmp_path, seconds=0.03) as w:
            w.api.faults["sendMessageDraft"] = [Fault(400)] * 50
            w.api.faults["sendChatAction"] = [Fault(400, description="Bad Request"), Fault(None)]
            assert await w.ask("one two three four five") == "re: one two three four five"
            assert len(w.api.faults["sendMessageDraft"]) == 49
            w.api.faults.clear()
            answered = {"reply_to_message": w.api.message("x", chat=-9) | {"from": ME}}
            assert await w.ask("one two three", chat=-9, **answered) == "re: one two three"
            assert not w.api.of("sendMessageDraft")

    run(work())


def test_the_stop_button_ends_a_reply_which_is_then_what_is_written(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            w.server.hold()
            await w.api.say("a b c d")
            await w.server.held()
            await w.api.event("stopped_message_generation", {"chat": {"id": 7, "type": "private"}, "draft_id": 1})
            assert await w.api.until(1) == ["re:"]
            assert await w.server.turns() == ["a b c d", "re:"]

    run(work())


def test_a_reply_that_the_server_cut_off_is_made_anew(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            w.server.hold()
            await w.api.say("a b c")
            await w.server.held()
            w.server.stop_all()
            w.server.go_on()
            assert await w.api.until(1) == ["re: a b c"]
            assert await w.server.turns() == ["a b c", "re: a b c"]

    run(work())


def test_in_a_group_each_is_answered_by_a_reply_and_in_the_topic(tmp_path: Path) -> None:
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


def test_what_cannot_be_read_is_answered_once_for_an_album(tmp_path: Path) -> None:
    photo = {"photo": [{"file_id": "p", "file_unique_id": "u", "width": 1, "height": 1}]}

    async def work() -> None:
        async with world(tmp_path) as w:
            for _ in range(3):
                await w.api.push({"update_id": w.api.number(), "message": w.api.message(None) | photo})
            async with w.bot():
                assert await w.ask("Hello") == texts.UNREADABLE
                assert (await w.api.until(2))[1] == "re: Hello"

    run(work())


MALFORMED: list[Any] = [
    *("text", 7, None, [], {}, {"update_id": "x"}, {"update_id": None}, {"update_id": True}, {"update_id": 2**70}),
    *({"update_id": -5}, {"update_id": 1.5, "message": {}}),
]
HALF_MALFORMED: list[Any] = [
    *({}, {"message": {}}, {"message": None}, {"message": "text"}, {"message": [1]}, {"surprise": {"a": 1}}),
    {"message": {"message_id": 1, "date": 1, "chat": {"id": "seven", "type": "private"}, "text": "x"}},
    {"message": {"message_id": 1, "date": 1, "chat": {"id": 2**80, "type": "private"}, "from": ALICE, "text": "x"}},
    {"message": {"message_id": 2**80, "date": 1, "chat": {"id": 7, "type": "private"}, "from": ALICE, "text": "x"}},
    {"message": {"message_id": 1, "date": 10**30, "chat": {"id": 7, "type": "private"}, "from": ALICE, "text": "x"}},
    {"message": {"message_id": 1, "date": 1, "chat": {"id": 7, "type": "private"}, "from": ALICE, "text": ["x"]}},
    {"message": {"message_id": 1, "date": 1, "chat": {"id": 7, "type": "odd"}, "from": ALICE}},
    {"message": {"message_id": 1, "date": 1, "chat": {"id": 7}, "from": ALICE, "text": "x"}},
    {"edited_message": {"text": "x"}, "my_chat_member": {}},
    {"my_chat_member": {"chat": {"id": 7, "type": "private"}}},
    {"stopped_message_generation": {"draft_id": 3}},
    {
        "message": {"message_id": 1, "date": 1, "chat": group(-9), "from": ALICE, "text": "x"}
        | {
            "entities": [
                {"type": "mention", "offset": 10**9, "length": -3},
                {"type": "mention", "offset": -4, "length": 9},
            ]
        }
    },
]


def test_the_bot_passes_over_what_it_cannot_read_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with world(tmp_path) as w:
            for place, raw in enumerate(MALFORMED):
                await w.api.push(raw, place=500 + place)
            for raw in HALF_MALFORMED:
                await w.api.push({"update_id": w.api.number(), **raw})
            async with w.bot():
                assert await w.ask("Still there? \ud83d") == "re: Still there? \ufffd"
                await w.api.until_confirmed()
                assert len(w.api.texts()) == 1
        assert sum("skipping" in line for line in caplog.messages) >= 18

    run(work())


def test_updates_that_come_twice_or_out_of_order_are_handled_once_and_numbers_may_begin_anew(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path) as w:
            one, two = w.api.message("one"), w.api.message("two")
            w.api.queue = [(n, {"update_id": n, "message": m}) for n, m in ((1003, two), (1001, one), (1003, two))]
            w.api.last = 1003
            async with w.bot():
                assert await w.api.until(1) == ["re: two\none"]
                await w.api.push({"update_id": 1003, "message": two}, place=1004)
                w.api.last = 1004
                assert await w.ask("three") == "re: three"
                await w.api.until_confirmed()
                w.api.last = 200  # as after a week in which nothing came
                assert await w.ask("four") == "re: four"
                assert await w.ask("five") == "re: five"

    run(work())


def test_an_update_that_has_no_id_does_not_keep_the_bot_busy(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path) as w:
            await w.api.push({"message": {}}, place=500)
            async with w.bot():
                await asyncio.sleep(0.6)
                assert len(w.api.offsets) <= 5
                assert await w.ask("Hello") == "re: Hello"

    run(work())


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_whatever_fails_on_the_way_is_tried_again(tmp_path: Path, done: bool) -> None:
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


def test_the_rest_that_telegram_wants_is_taken(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            w.api.faults["sendMessage"] = [Fault(429, parameters={"retry_after": 1})]
            began = time.monotonic()
            assert await w.ask("Hello") == "re: Hello"
            assert 1 < time.monotonic() - began < 3

    run(work())


def test_who_blocks_the_bot_is_not_written_to_until_they_write(tmp_path: Path) -> None:
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


def test_a_message_that_telegram_does_not_take_ends_nothing(tmp_path: Path) -> None:
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


def test_what_was_said_just_before_a_group_moved_is_answered_where_it_is_now(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path) as w:
            replied = {"reply_to_message": w.api.message("x", chat=-3) | {"from": ME}}
            await w.api.say("Where are we?", chat=-3, **replied)
            await w.api.event("message", w.api.message(None, chat=-3, migrate_to_chat_id=-1003))
            async with w.bot():
                assert await w.api.until(1, chat=-1003) == ["re: Where are we?"]

    run(work())


def test_what_the_server_refuses_is_told_and_its_faults_are_not(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            assert (
                await w.ask("This is too long") == "the last turn does not fit into the window of 64 tokens; shorten it"
            )
            w.server.faults = [500] * 3
            assert await w.ask("Hello") == texts.FAILED
            assert await w.ask("Hello again") == "re: Hello again"
            await w.ask("/persona I like rain.")
            await w.server.delete_all()
            assert await w.ask("Who are you?") == "re: Who are you?"
            assert (await w.server.conversations())[-1].about.persona == ("I like rain.",)
            await w.server.delete_all()
            assert await w.ask("/undo") == texts.GONE
            assert await w.ask("/undo") == texts.NOTHING_TO_UNDO

    run(work())


def test_who_waits_long_is_told_that_the_message_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convmodel.serving.telegram.api_client.PATIENCE", 0.0)

    async def work() -> None:
        async with talk(tmp_path) as w:
            w.server.faults = [None, 503, 429]
            await w.api.say("Hello")
            assert await w.api.until(2) == [texts.LONGER, "re: Hello"]

    run(work())


def test_a_conversation_whose_beginning_is_answered_too_late_is_begun_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            w.server.faults = [-1, 0, -1]
            assert await w.ask("one") == "re: one"
            asked = [said["key"] for method, path, said in w.server.asked if path == "/conversations"]
            assert len(asked) == 4 and len(set(asked)) == 1
            assert len(await w.server.conversations()) == 1

    run(work())


def test_an_undo_whose_answer_is_lost_is_not_done_twice(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path) as w:
            await w.ask("one")
            await w.ask("two")
            w.server.faults = [None, -1]
            assert await w.ask("/undo") == "Taken back; 2 turns are left."
            assert await w.server.turns() == ["one", "re: one"]

    run(work())


def test_a_bot_that_is_ended_while_it_replies_goes_on_after_the_next_start(tmp_path: Path) -> None:
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


def test_a_bot_that_is_ended_finishes_first_what_it_can(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path, seconds=0.1) as w:
            async with w.bot():
                await w.api.say("one two three")
                await w.api.until(1, chat=None, method="sendChatAction")
            assert w.api.texts() == ["re: one two three"]

    run(work())


def test_what_the_store_did_not_take_is_done_again_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: set[int] = set()
    store_answer = task_queue.store_answer

    def forgetful(connection: Connection, bot: int, /, task: Task, *arguments: Any, **changes: Any) -> None:
        if task.update not in refused:
            refused.add(task.update)
            raise OSError("no space is left")
        store_answer(connection, bot, task, *arguments, **changes)

    monkeypatch.setattr(task_queue, "store_answer", forgetful)

    async def work() -> None:
        async with talk(tmp_path) as w:
            assert await w.ask("one") == "re: one"
            assert await w.ask("/persona add I am old.") == "I am old."
            assert await w.ask("/persona add I am wise.") == "I am old.\nI am wise."
            assert await w.ask("two") == "re: two"
            assert await w.ask("/retry") == "re: two"
            assert await w.ask("/undo") == "Taken back; 2 turns are left."
            assert await w.ask("/set temperature 0.5") == "temperature = 0.5"
            [conversation] = await w.server.conversations()
            assert [turn.text for turn in conversation.turns] == ["one", "re: one"]
            assert conversation.about.persona == ("I am old.", "I am wise.") and len(refused) == 7

    run(work())


def test_a_conflict_of_two_bots_is_waited_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with world(tmp_path) as w:
            w.api.faults["getUpdates"] = [
                Fault(409, description="Conflict: can't use getUpdates while webhook is active")
            ]
            async with w.bot():
                assert await w.ask("Hello") == "re: Hello"
        assert any("webhook is active" in line for line in caplog.messages)

    run(work())


def test_messages_keep_the_pace_that_telegram_allows(tmp_path: Path) -> None:
    async def work() -> None:
        async with talk(tmp_path, gap=0.2, per_second=20.0) as w:
            w.server.words = ["x" * 4096, "y" * 4096, "z"]
            await w.api.say("Hello")
            await w.api.until(3)
            times = [call.time for call in w.api.of("sendMessage")]
            assert all(later - before > 0.15 for before, later in itertools.pairwise(times))
            w.server.words = None
            for chat in range(10, 20):
                await w.api.say("Hello", chat=chat)
            await w.api.until(13, chat=None)
            times = [call.time for call in w.api.of("sendMessage")][3:]
            assert times[-1] - times[0] > 0.4

    run(work())


def test_a_token_that_is_refused_ends_the_bot(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path) as w:
            with pytest.raises(TokenRefused, match="rejects the token") as told:
                async with w.bot(token="42:other") as bot:
                    await bot
            assert "other" not in str(told.value)
            for method in ("sendMessage", "getUpdates"):
                with pytest.raises(TokenRefused):
                    async with w.bot() as bot:
                        await w.ask(f"Hello before {method}")
                        w.api.faults[method] = [Fault(401, description="Unauthorized")] * 2
                        await w.api.say("Hello")
                        await bot
                w.api.faults.clear()
            async with w.bot():  # with a good token again, nothing is lost
                assert (await w.api.until(4))[-1] == "re: Hello"

    run(work())


def test_no_text_and_no_token_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
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
                await w.api.push({"update_id": w.api.number(), "message": {"text": "plums", "date": "plums"}})
                await w.ask("plums")
        assert len(caplog.messages) > 8
        assert "plums" not in caplog.text and TOKEN.split(":")[1] not in caplog.text

    run(work())

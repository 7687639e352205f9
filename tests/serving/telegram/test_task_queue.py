"""What the bot must not forget, in SQLite and in PostgreSQL."""

from convmodel.serving.store import Store
from convmodel.serving.telegram import task_queue
from convmodel.serving.telegram.state import (
    METADATA,
    BotState,
    ChatSettings,
    begin_conversation,
    chat_settings,
    conversations,
    move_chat,
)
from convmodel.serving.telegram.task_queue import Task
from convmodel.serving.telegram.updates import UpdateRequest
from tests.serving.telegram.harness import run

BIG = -(2**62)


def say(text: str, *, chat: int = 7, message: int = 1) -> UpdateRequest:
    return UpdateRequest("say", chat, text, message=message)


def test_an_update_is_kept_once_and_with_it_the_offset(store: Store) -> None:
    async def work() -> None:
        state, other = BotState(store, bot=1), BotState(store, bot=2)
        await store.awrite(METADATA.create_all)
        await store.awrite(METADATA.create_all)
        assert await state.read(task_queue.next_offset) is None
        assert await state.write(task_queue.take_in, [(5, say("a")), (6, None), (5, say("b"))], offset=7) == [7]
        assert await state.write(task_queue.take_in, [(5, say("c")), (6, say("d"))], offset=8) == []
        assert (await state.read(task_queue.next_offset), await other.read(task_queue.next_offset)) == (8, None)
        assert await other.write(task_queue.take_in, [(5, say("of another bot"))], offset=6) == [7]
        assert await state.write(task_queue.next_task, 7, characters=100) == Task(5, 7, "say", "a", message=1)
        assert await state.write(task_queue.next_task, 8, characters=100) is None

    run(work())


def test_what_was_begun_is_found_again_as_it_was_left(store: Store) -> None:
    async def work() -> None:
        state = BotState(store, bot=1)
        await store.awrite(METADATA.create_all)
        updates = [
            say("one"),
            say("two", message=2),
            UpdateRequest("command", 7, "set a  b"),
            say("x" * 90),
            say("y" * 20),
        ]
        await state.write(task_queue.take_in, [(2**40 + number, asks) for number, asks in enumerate(updates)], offset=6)
        await state.write(task_queue.take_in, [(1, say("there", chat=BIG))], offset=2)
        assert await state.read(task_queue.chats_to_do) == [7, BIG]
        task = Task(2**40, 7, "say", "one\ntwo", message=2)
        for _ in range(2):
            assert await state.write(task_queue.next_task, 7, characters=100) == task
        await state.write(task_queue.take_in, [(9, say("three"))], offset=10)
        await state.write(task_queue.change_task, task, plan={"path": "retry"}, attempt=3)
        await state.write(task_queue.store_answer, task, ["a", "b"], persona=("I am old.",), told=False)
        await state.write(task_queue.change_task, task, sent=1)
        left = await BotState(store, bot=1).write(task_queue.next_task, 7, characters=100)
        assert left is not None and (left.text, left.attempt, left.plan) == ("one\ntwo", 3, {"path": "retry"})
        assert (left.parts, left.sent) == (("a", "b"), 1)
        await state.write(task_queue.finish, left)
        assert await state.read(chat_settings, 7) == ChatSettings(persona=("I am old.",), told=False)
        texts = []
        while (next_task := await state.write(task_queue.next_task, 7, characters=100)) is not None:
            texts.append(next_task.text)
            await state.write(task_queue.finish, next_task)
        assert texts == ["set a  b", "x" * 90, "y" * 20 + "\nthree"]
        assert await state.read(task_queue.chats_to_do) == [BIG]

    run(work())


def test_a_message_may_be_edited_until_it_is_begun_and_a_reply_stopped_from_then_on(store: Store) -> None:
    async def work() -> None:
        state = BotState(store, bot=1)
        await store.awrite(METADATA.create_all)
        edit, stop = UpdateRequest("edit", 7, "b", message=1), UpdateRequest("stop", 7)
        await state.write(
            task_queue.take_in,
            [(1, say("a")), (2, stop), (3, edit), (4, UpdateRequest("edit", 7, "c", message=2))],
            offset=5,
        )
        task = await state.write(task_queue.next_task, 7, characters=100)
        assert task is not None and task.text == "b" and not await state.read(task_queue.is_stopped, task)
        await state.write(task_queue.take_in, [(5, UpdateRequest("edit", 7, "d", message=1)), (6, stop)], offset=7)
        assert await state.read(task_queue.is_stopped, task)
        again = await state.write(task_queue.next_task, 7, characters=100)
        assert again is not None and again.text == "b"

    run(work())


def test_what_is_forgotten_is_gone_and_what_is_to_be_done_is_not(store: Store) -> None:
    async def work() -> None:
        state = BotState(store, bot=1)
        await store.awrite(METADATA.create_all)
        await state.write(
            task_queue.take_in,
            [(1, say("plums")), (2, UpdateRequest("command", 7, "forget")), (3, say("later"))],
            offset=4,
        )
        first = await state.write(task_queue.next_task, 7, characters=100)
        assert first is not None
        await state.write(begin_conversation, 7, "c1")
        await state.write(begin_conversation, 7, "c2")
        assert sorted(await state.read(conversations, 7)) == ["c1", "c2"]
        await state.write(task_queue.finish, first)
        forget = await state.write(task_queue.next_task, 7, characters=100)
        assert forget is not None and forget.command == ("forget", "")
        await state.write(task_queue.forget, forget, ["done"])
        assert await state.read(conversations, 7) == [] and await state.read(chat_settings, 7) == ChatSettings()
        await state.write(task_queue.finish, forget)
        await store.clean()
        later = await state.write(task_queue.next_task, 7, characters=100)
        assert later is not None and later.text == "later"
        assert await state.write(task_queue.take_in, [(1, say("plums")), (2, say("x"))], offset=4) == []

    run(work())


def test_a_chat_that_gets_another_id_keeps_what_is_its_own(store: Store) -> None:
    async def work() -> None:
        state = BotState(store, bot=1)
        await store.awrite(METADATA.create_all)
        await state.write(task_queue.take_in, [(1, say("a", chat=-3))], offset=2)
        await state.write(begin_conversation, -3, "c1")
        await state.write(
            task_queue.take_in, [(2, UpdateRequest("moved", -3, moved_to=-1003)), (3, say("b", chat=-1003))], offset=4
        )
        await state.write(move_chat, -3, -1003)
        assert (await state.read(chat_settings, -1003)).conversation == "c1" and await state.read(
            conversations, -1003
        ) == ["c1"]
        task = await state.write(task_queue.next_task, -1003, characters=100)
        assert task is not None and task.text == "a\nb"

    run(work())


def test_numbers_of_updates_are_kept_as_long_as_they_may_come_again(store: Store) -> None:
    async def work() -> None:
        state = BotState(store, bot=1)
        await store.awrite(METADATA.create_all)
        await state.write(task_queue.take_in, [(1, None), (2, say("a"))], offset=3)
        await state.write(task_queue.prune)
        assert await state.write(task_queue.take_in, [(1, say("b", chat=8))], offset=3) == []
        task_queue.KEPT_SECONDS, kept = -1.0, task_queue.KEPT_SECONDS
        try:
            await state.write(task_queue.prune)
        finally:
            task_queue.KEPT_SECONDS = kept
        assert await state.write(task_queue.take_in, [(1, say("b", chat=8)), (2, say("a"))], offset=3) == [8]

    run(work())

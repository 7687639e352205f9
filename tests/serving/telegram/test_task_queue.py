"""Updates and tasks in the store, in SQLite and in PostgreSQL."""

from convmodel.serving.store import Store
from convmodel.serving.telegram import task_queue
from convmodel.serving.telegram.state import (
    METADATA,
    BotState,
    ChatSettings,
    chat_settings,
)
from convmodel.serving.telegram.task_queue import Task
from convmodel.serving.telegram.updates import UpdateRequest
from tests.serving.telegram.harness import run, say

BIG = -(2**62)


def test_an_update_is_stored_once_with_the_offset(store: Store) -> None:
    async def work() -> None:
        state = BotState(store, bot=1)
        other = BotState(store, bot=2)
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


def test_a_task_in_progress_survives_a_restart(store: Store) -> None:
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
        await state.write(
            task_queue.take_in, [(2**40 + index, request) for index, request in enumerate(updates)], offset=6
        )
        await state.write(task_queue.take_in, [(1, say("there", chat=BIG))], offset=2)
        assert await state.read(task_queue.chats_to_do) == [7, BIG]
        task = Task(2**40, 7, "say", "one\ntwo", message=2)
        for _ in range(2):
            assert await state.write(task_queue.next_task, 7, characters=100) == task
        await state.write(task_queue.take_in, [(9, say("three"))], offset=10)
        await state.write(task_queue.change_task, task, plan={"path": "retry"}, attempt=3)
        await state.write(task_queue.store_answer, task, ["a", "b"], persona=("I am old.",), settings_sent=False)
        await state.write(task_queue.change_task, task, sent=1)
        left = await BotState(store, bot=1).write(task_queue.next_task, 7, characters=100)
        assert left is not None and (left.text, left.attempt, left.plan) == ("one\ntwo", 3, {"path": "retry"})
        assert (left.parts, left.sent) == (("a", "b"), 1)
        await state.write(task_queue.finish, left)
        assert await state.read(chat_settings, 7) == ChatSettings(persona=("I am old.",), settings_sent=False)
        texts = []
        while (next_task := await state.write(task_queue.next_task, 7, characters=100)) is not None:
            texts.append(next_task.text)
            await state.write(task_queue.finish, next_task)
        assert texts == ["set a  b", "x" * 90, "y" * 20 + "\nthree"]
        assert await state.read(task_queue.chats_to_do) == [BIG]

    run(work())


def test_edits_count_before_a_reply_begins_and_stops_afterwards(store: Store) -> None:
    async def work() -> None:
        state = BotState(store, bot=1)
        await store.awrite(METADATA.create_all)
        edit = UpdateRequest("edit", 7, "b", message=1)
        stop = UpdateRequest("stop", 7)
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


def test_update_ids_are_kept_until_telegram_cannot_repeat_them(store: Store) -> None:
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

"""Chats and their settings, in SQLite and in PostgreSQL."""

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
from convmodel.serving.telegram.updates import UpdateRequest
from tests.serving.telegram.harness import run, say


def test_forgetting_a_chat_keeps_only_messages_that_are_not_answered_yet(store: Store) -> None:
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


def test_a_chat_with_a_new_id_keeps_its_conversation_and_tasks(store: Store) -> None:
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

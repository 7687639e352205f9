"""Updates that are malformed, repeated, or withheld by a conflict."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiogram.types import ChatMemberAdministrator

from convmodel.serving.telegram.updates import PRIVACY_HINT
from tests.serving.telegram.fake_api import ALICE, ME, Fault, group
from tests.serving.telegram.harness import run, talk, world

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


def test_malformed_updates_are_skipped_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with world(tmp_path) as w:
            for index, raw in enumerate(MALFORMED):
                await w.api.push(raw, position=500 + index)
            for raw in HALF_MALFORMED:
                await w.api.push({"update_id": w.api.next_id(), **raw})
            async with w.bot():
                assert await w.ask("Still there? \ud83d") == "re: Still there? \ufffd"
                await w.api.until_confirmed()
                assert len(w.api.texts()) == 1
        assert sum("skipping" in line for line in caplog.messages) >= 18

    run(work())


def test_repeated_updates_are_handled_once_and_update_ids_may_restart(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path) as w:
            one = w.api.message("one")
            two = w.api.message("two")
            w.api.queue = [(n, {"update_id": n, "message": m}) for n, m in ((1003, two), (1001, one), (1003, two))]
            w.api.last = 1003
            async with w.bot():
                assert await w.api.until(1) == ["re: two\none"]
                await w.api.push({"update_id": 1003, "message": two}, position=1004)
                w.api.last = 1004
                assert await w.ask("three") == "re: three"
                await w.api.until_confirmed()
                w.api.last = 200  # as after a week in which nothing came
                assert await w.ask("four") == "re: four"
                assert await w.ask("five") == "re: five"

    run(work())


def test_an_update_without_an_id_causes_no_busy_loop(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path) as w:
            await w.api.push({"message": {}}, position=500)
            async with w.bot():
                await asyncio.sleep(0.6)
                assert len(w.api.offsets) <= 5
                assert await w.ask("Hello") == "re: Hello"

    run(work())


def test_the_bot_waits_until_a_conflict_with_another_program_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with world(tmp_path) as w:
            w.api.faults["getUpdates"] = [
                Fault(409, description="Conflict: can't use getUpdates while webhook is active")
            ]
            async with w.bot():
                assert await w.ask("Hello") == "re: Hello"
        assert any("webhook is active" in line for line in caplog.messages)

    run(work())


def test_a_hint_is_logged_when_the_bot_joins_a_group_with_privacy_mode_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def change(old: str, new: str, *, chat: dict[str, Any]) -> dict[str, Any]:
        statuses = {"old_chat_member": {"status": old, "user": ME}, "new_chat_member": {"status": new, "user": ME}}
        return statuses | {"chat": chat, "from": ALICE, "date": 1}

    private = {"id": 7, "type": "private"}
    rights = [name for name, field in ChatMemberAdministrator.model_fields.items() if field.is_required()]
    promoted = change("left", "administrator", chat=group(-9))
    promoted["new_chat_member"] = dict.fromkeys(rights, False) | promoted["new_chat_member"]

    async def work() -> None:
        async with talk(tmp_path) as w:
            unblocked = change("kicked", "member", chat=private)
            for event in (unblocked, change("member", "member", chat=group(-9)), promoted):
                await w.api.event("my_chat_member", event)
            await w.api.until_confirmed()
            assert PRIVACY_HINT not in caplog.messages
            await w.api.event("my_chat_member", change("left", "member", chat=group(-9)))
            await w.api.until_confirmed()
            assert caplog.messages.count(PRIVACY_HINT) == 1
            w.api.reads_all = True  # changed while the bot runs
            await w.api.event("my_chat_member", change("left", "member", chat=group(-9)))
            await w.api.until_confirmed()
            assert caplog.messages.count(PRIVACY_HINT) == 1

    run(work())

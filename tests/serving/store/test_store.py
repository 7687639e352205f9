import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from convmodel.serving.store import Store, conversations, idempotency
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.errors import Conflict, KeyAlreadyUsed, Unavailable
from convmodel.serving.store.idempotency import IdempotencyRecord
from convmodel.serving.store.records import ConversationSettings
from tests.serving.store.helpers import create


def test_a_failing_write_in_a_group_commit_rolls_back_alone(store: Store) -> None:
    created = create(store, "anna", "Hello")

    def works(connection: Connection) -> int:
        about = ConversationSettings(title="made together")
        return len(conversations.create(connection, "anna", about=about).id)

    def conflicts(connection: Connection) -> int:
        conversations.create(connection, "anna", about=ConversationSettings(title="never"))
        conversations.change(connection, "anna", created.id, ConversationUpdate(version=7, keep=0))
        return 0

    def taken(connection: Connection) -> int:
        for _ in range(2):
            idempotency.begin(connection, "anna", "key", IdempotencyRecord("r", created.id, 1, None, None))
        return 0

    async def all_at_once() -> list[Any]:
        blocked = asyncio.create_task(store.awrite(lambda connection: threading.Event().wait(0.05)))
        await asyncio.sleep(0.01)
        rest = [store.awrite(work) for work in (works, conflicts, taken, works)]
        return await asyncio.gather(blocked, *rest, return_exceptions=True)

    outcomes = asyncio.run(all_at_once())
    assert [type(outcome) for outcome in outcomes] == [bool, int, Conflict, KeyAlreadyUsed, int]
    listed, _ = store.read(conversations.listing, "anna", limit=9)
    assert [conversation.about.title for conversation in listed] == ["made together", "made together", None]


def test_the_event_loop_runs_during_a_write(store: Store) -> None:
    async def ticks() -> int:
        slow = asyncio.create_task(store.awrite(lambda connection: threading.Event().wait(0.2)))
        count = 0
        while not slow.done():
            await asyncio.sleep(0.005)
            count += 1
        return count

    assert asyncio.run(ticks()) > 10


def test_a_closed_store_is_unavailable(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "s.db"))
    store.close()
    store.close()
    for call in (store.awrite, store.aread):
        with pytest.raises(Unavailable, match="closed"):
            asyncio.run(call(lambda connection: None))


def test_cleaning_that_fails_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("convmodel.serving.store.database.CLEANING_SECONDS", 0)
    with Store(str(tmp_path / "s.db")) as store:
        other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        other.execute("begin immediate")
        asyncio.run(store.clean())
        assert store.unclean
        assert "not wiped from the file yet: the store is not available: database is locked" in caplog.text
        other.rollback()
        other.close()

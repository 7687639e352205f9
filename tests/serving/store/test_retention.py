import asyncio
import random
import re
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from convmodel.serving.store import Store, conversations
from convmodel.serving.store.records import ConversationRecord, ConversationSettings, Turn
from convmodel.serving.store.retention import keep_purging, purge
from tests.serving.store.helpers import change, create, load


def test_old_conversations_are_purged_and_recent_ones_stay(store: Store) -> None:
    turn = Turn(1, "user", "old", 1)

    def make(connection: Connection) -> list[ConversationRecord]:
        return [
            conversations.create(connection, "anna", about=ConversationSettings(), turns=[turn]) for _ in range(450)
        ]

    old = store.write(make)
    aged = text("update convmodel_conversations set updated = updated - 3600000000")
    store.write(lambda connection: connection.execute(aged))
    change(store, old[7], about={"title": "touched"})
    young = create(store, "bob", "young")
    assert asyncio.run(purge(store, timedelta(minutes=59))) == 449
    assert load(store, young.id, "bob").turn_count == 1
    assert load(store, old[7].id).about.title == "touched"
    assert store.read(lambda connection: connection.execute(text("select count(*) from convmodel_turns")).scalar()) == 2


def texts_in(folder: Path) -> set[bytes]:
    """The marks of texts that are anywhere in the files of a store."""
    data = b"".join(file.read_bytes() for file in folder.iterdir())
    return set(re.findall(rb"<m\d{6}>", data))


@pytest.mark.slow
def test_deleted_text_is_in_no_file_of_the_store(tmp_path: Path) -> None:
    """Create, change and delete many conversations; unless the file is rewritten, unused parts of pages keep copies."""
    source = random.Random(3)
    alive: dict[str, int] = {}
    with Store(str(tmp_path / "s.db")) as store:

        def some(connection: Connection) -> None:
            for _ in range(250):
                mark = source.randrange(10**6)
                content = f"<m{mark:06}>" + "x" * source.choice([5, 60, 900, 6000])
                turns = [Turn(n, "user", content, n) for n in range(1, source.randint(2, 6))]
                alive[conversations.create(connection, "anna", about=ConversationSettings(), turns=turns).id] = mark
            for id in source.sample(sorted(alive), 150):
                conversations.remove(connection, "anna", id)
                del alive[id]

        for _ in range(8):
            store.write(some)
        assert len(texts_in(tmp_path)) > len(set(alive.values()))
        asyncio.run(store.clean())
        assert not store.unclean
        assert texts_in(tmp_path) == {f"<m{mark:06}>".encode() for mark in alive.values()}
        store.write(conversations.remove_all, "anna")
        asyncio.run(store.clean())
        assert texts_in(tmp_path) == set()


def test_cleaning_that_a_reader_blocks_is_done_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convmodel.serving.store.database.CLEANING_SECONDS", 0)
    with Store(str(tmp_path / "s.db")) as store:
        created = create(store, "anna", "<m000001>")
        reader = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        reader.execute("begin")
        reader.execute("select count(*) from convmodel_turns").fetchall()
        store.write(conversations.remove, "anna", created.id)
        asyncio.run(store.clean())
        assert store.unclean
        assert texts_in(tmp_path) != set()
        reader.rollback()
        reader.close()
        create(store)  # a write is not blocked

        async def purging() -> None:
            task = asyncio.create_task(keep_purging(store, None))
            while store.unclean:
                await asyncio.sleep(0.01)
            task.cancel()

        asyncio.run(purging())
        assert texts_in(tmp_path) == set()

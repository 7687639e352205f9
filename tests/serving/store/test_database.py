import os
import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from convmodel.errors import install_command
from convmodel.serving.store import Store, conversations
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.errors import KeyAlreadyUsed, Unavailable
from convmodel.serving.store.records import ConversationRecord, ConversationSettings
from tests.serving.store.helpers import create, load


def test_a_failed_transaction_changes_nothing(store: Store) -> None:
    created = create(store, "anna", "Hello")

    def fails(connection: Connection) -> None:
        conversations.change(connection, "anna", created.id, ConversationUpdate(keep=0))
        raise KeyError("in the middle")

    with pytest.raises(KeyError):
        store.write(fails)
    assert load(store, created.id) == created


def test_a_full_disk_is_reported_and_nothing_is_lost(tmp_path: Path) -> None:
    with Store(str(tmp_path / "s.db")) as store:
        created = create(store, "anna", "Hello")
        page = store.read(lambda connection: connection.execute(text("pragma page_count")).scalar())
        database = store._database

        def full(connection: Connection) -> Any:
            connection.execute(text(f"pragma max_page_count = {page}"))
            return conversations.create(connection, "anna", about=ConversationSettings(title="x" * 100_000))

        with pytest.raises(Unavailable, match="database or disk is full"):
            store.write(full)
        outcomes = database.write_together([lambda connection: create_small(connection), full])
        assert [type(outcome) for outcome in outcomes] == [ConversationRecord, Unavailable]
        assert load(store, created.id) == created


def create_small(connection: Connection) -> ConversationRecord:
    return conversations.create(connection, "anna", about=ConversationSettings(title="small"))


def test_a_store_locked_by_another_process_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convmodel.serving.store.engine.BUSY_SECONDS", 0.05)
    with Store(str(tmp_path / "s.db")) as store:
        created = create(store, "anna", "Hello")
        other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        other.execute("begin immediate")
        with pytest.raises(Unavailable, match="database is locked"):
            create(store)
        assert load(store, created.id) == created
        other.rollback()
        other.close()
        create(store)


def test_an_error_message_contains_no_text_of_a_conversation(store: Store) -> None:
    def wrong(connection: Connection) -> None:
        connection.execute(text("insert into convmodel_turns (text) values (:content)"), {"content": "my secret"})

    with pytest.raises((Unavailable, KeyAlreadyUsed)) as error:
        store.write(wrong)
    assert "my secret" not in "".join(traceback.format_exception(error.value))


def test_postgresql_without_psycopg_is_an_error_with_the_remedy() -> None:
    program = "import sys; sys.modules['psycopg'] = None; from convmodel.serving.store import Store; Store(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, "postgresql://x@127.0.0.1/x"], capture_output=True, text=True, cwd=os.getcwd()
    )
    assert f"needs psycopg; {install_command('postgres')}" in done.stderr

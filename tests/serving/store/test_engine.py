import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from convmodel.serving.store import Store
from convmodel.serving.store.errors import StoreError
from tests.serving.store.helpers import create, load, run_all


def test_a_reopened_store_has_its_conversations(address: str) -> None:
    with Store(address) as store:
        created = create(store, "anna", "Hello", "Hi")
    with Store(address) as store, Store(address) as beside:
        assert load(store, created.id) == created == load(beside, created.id)


def test_stores_opened_at_the_same_time_create_their_tables_once(address: str) -> None:
    stores: list[Store] = []
    threads = [threading.Thread(target=lambda: stores.append(Store(address))) for _ in range(4)]
    run_all(threads)
    assert len(stores) == 4
    for store in stores:
        create(store)
        store.close()


def test_a_store_with_tables_of_another_version_is_rejected(address: str) -> None:
    with Store(address) as store:
        store.write(lambda connection: connection.execute(text("update convmodel_schema set version = 99")))
    with pytest.raises(StoreError, match="its tables have version 99, and this convmodel supports up to version 2"):
        Store(address)


def test_a_store_of_the_first_version_is_brought_to_the_newest(address: str) -> None:
    with Store(address) as store:
        created = create(store, "anna", "Hello", "Hi")
        store.write(
            lambda connection: connection.execute(text("alter table convmodel_conversations drop column model"))
        )
        store.write(lambda connection: connection.execute(text("update convmodel_schema set version = 1")))
    for _ in range(2):
        with Store(address) as store:
            assert load(store, created.id) == created and created.about.model is None


def test_only_its_owner_can_read_a_new_file_and_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    with Store(str(tmp_path / "s.db")) as store:
        create(store)
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        settings = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}

        def pragma(connection: Connection, name: str) -> object:
            return connection.execute(text(f"pragma {name}")).scalar()

        for name, value in settings.items():
            assert store.read(pragma, name) == store.write(pragma, name) == value, name


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("missing/s.db", r"missing/s.db: there is no folder .*missing; make it first"),
        (".", "is a folder; give the name of a file"),
        ("sqlite://", "a store must be a file; use sqlite:///convmodel.db"),
        ("sqlite:///:memory:", "a store must be a file"),
        ("mysql://x/y", "unsupported database mysql; use sqlite:///convmodel.db or postgresql"),
        ("://", "the address of the store cannot be parsed"),
        ("", "the address of the store cannot be parsed"),
        ("text", "text: is not a SQLite database"),
        ("broken", "broken: cannot be used as a store: "),
        ("postgresql://me:secret@127.0.0.1:1/x", r"postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/x: cannot be used as a"),
    ],
)
def test_an_unusable_address_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("Dear diary, this is no database")
    Path("broken").write_bytes(b"SQLite format 3\0" + b"\x07" * 5000)
    with pytest.raises(StoreError, match=message) as error:
        Store(address)
    assert "secret" not in str(error.value) and "\n" not in str(error.value)

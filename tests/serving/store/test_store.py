import asyncio
import os
import random
import re
import sqlite3
import stat
import subprocess
import sys
import threading
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from convmodel.serving.store import (
    Conflict,
    ConversationRecord,
    ConversationSettings,
    KeyAlreadyUsed,
    Missing,
    Store,
    StoreError,
    Turn,
    Unavailable,
    conversations,
    idempotency,
    keep_purging,
    keys,
    purge,
)
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.idempotency import IdempotencyRecord
from tests.conftest import random_text


def create(store: Store, owner: str = "anna", *texts: str, **about: Any) -> ConversationRecord:
    turns = [Turn(n, "user" if n % 2 else "model", said, 10 + n) for n, said in enumerate(texts, 1)]
    return store.write(conversations.create, owner, about=ConversationSettings(**about), turns=turns)


def change(store: Store, made: ConversationRecord, **wanted: Any) -> Any:
    return store.write(conversations.change, "anna", made.id, ConversationUpdate(**wanted))


def load(store: Store, id: str, owner: str = "anna") -> ConversationRecord:
    return store.read(conversations.load, owner, id)


# Conversations


def test_a_conversation_comes_back_as_it_was_stored_whatever_characters_are_in_it(store: Store) -> None:
    source = random.Random(5)
    texts = ["\x00", "'; drop table convmodel_turns; --", *(random_text(source) for _ in range(20))]
    about: dict[str, Any] = {"title": texts[0], "persona": tuple(texts[3:6]), "preset": "bold", "seed": 2**62}
    meta = {"a": {"b": "\x00"}, "numbers": [2**63, -(2**1000), 1e308, 5e-324]}
    made = create(store, "anna", *texts, **about, options={"top_k": None, "x": [1.5, "ü"]}, meta=meta)
    again = load(store, made.id)
    assert again == made
    assert [turn.text for turn in again.turns] == texts
    assert again.about == ConversationSettings(**about, options={"top_k": None, "x": [1.5, "ü"]}, meta=meta)
    assert (again.version, again.turns_version, again.turn_count, again.waiting) == (1, 1, 22, False)


def test_what_changes_a_conversation_counts_its_version_and_nothing_else_changes(store: Store) -> None:
    made = create(store, "anna", "Hello")
    other = create(store, "anna", "Hello")
    reply = Turn(2, "model", "Hi", 99, {"seed": 3, "candidates": [{"text": "Hi"}]}, chosen=1, blocked=True)
    now = change(store, made, turns_version=1, add=[reply])
    assert (now.version, now.turns_version, now.turn_count) == (2, 2, 2)
    assert load(store, made.id).turns == (*made.turns, reply)
    now = change(store, made, about={"title": "Tea", "seed": None})
    assert (now.version, now.turns_version, now.about.title) == (3, 2, "Tea")
    change(store, made, keep=1, add=[Turn(2, "model", "Other", 100)])
    assert [turn.text for turn in load(store, made.id).turns] == ["Hello", "Other"]
    now = change(store, made, keep=0)
    assert (now.version, now.turns_version, now.turn_count, load(store, made.id).turns) == (5, 5, 0, ())
    assert load(store, other.id) == other


def test_of_two_changes_to_the_same_version_one_is_made(store: Store) -> None:
    made = create(store, "anna", "Hello")
    change(store, made, turns_version=1, add=[Turn(2, "model", "Hi", 1)])
    for name in ("turns_version", "version"):
        with pytest.raises(Conflict):
            change(store, made, add=[Turn(2, "model", "Ho", 1)], **{name: 1})
    assert [turn.text for turn in load(store, made.id).turns] == ["Hello", "Hi"]


def run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_of_many_writers_at_once_one_wins(store: Store) -> None:
    made = create(store, "anna", "Hello")
    outcomes: list[str] = []
    ready = threading.Barrier(8)

    def write(number: int) -> None:
        ready.wait()
        try:
            change(store, made, turns_version=1, add=[Turn(2, "model", str(number), 1)])
            outcomes.append(str(number))
        except Conflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    run_all(threads)
    [winner] = [outcome for outcome in outcomes if outcome != "conflict"]
    assert len(outcomes) == 8
    assert load(store, made.id).turns[1].text == winner


def test_somebody_elses_conversation_is_as_one_that_is_not_there(store: Store) -> None:
    made = create(store, "anna", "secret")
    for id in (made.id, "A" * 22, "", "\x00", "' or 1=1 --", "é" * 22):
        with pytest.raises(Missing):
            load(store, id, "bob")
        with pytest.raises(Missing):
            store.write(conversations.remove, "bob", id)
        with pytest.raises(Missing):
            store.write(conversations.change, "bob", id, ConversationUpdate(keep=0))
    assert store.read(conversations.listing, "bob", limit=5) == ([], None)
    assert store.write(conversations.remove_all, "bob") == []
    assert load(store, made.id) == made


def test_pages_hold_each_conversation_once_whatever_happens_between_them(store: Store) -> None:
    made = [create(store, "anna", "Hello", f"reply {n}") for n in range(10)]
    create(store, "bob", "Hello")

    def page(before: str | None) -> tuple[list[Any], str | None]:
        return store.read(conversations.listing, "anna", limit=4, before=before)

    first, after = page(None)
    change(store, made[0], about={"title": "touched"})
    store.write(conversations.remove, "anna", first[3].id)
    create(store)
    second, after = page(after)
    third, end = page(after)
    assert [each.id for each in (*first, *second, *third)] == [each.id for each in reversed(made)]
    assert end is None
    assert first[0].last.text == "reply 9"
    assert first[0].last.speaker == "model"
    assert page(None)[0][0].last is None


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "12.abc", "x." + "a" * 22, "\x00", "a" * 1000, "1." + "a" * 22 + "\n"]
)
def test_what_is_no_cursor_is_refused(tmp_path: Path, cursor: str) -> None:
    with Store(str(tmp_path / "s.db")) as store, pytest.raises(ValueError, match="before is not a cursor"):
        store.read(conversations.listing, "anna", limit=4, before=cursor)


# Transactions


def test_what_fails_in_the_middle_leaves_nothing(store: Store) -> None:
    made = create(store, "anna", "Hello")

    def fails(connection: Connection) -> None:
        conversations.change(connection, "anna", made.id, ConversationUpdate(keep=0))
        raise KeyError("in the middle")

    with pytest.raises(KeyError):
        store.write(fails)
    assert load(store, made.id) == made


def test_of_what_shares_a_commit_only_what_fails_is_undone(store: Store) -> None:
    made = create(store, "anna", "Hello")

    def works(connection: Connection) -> int:
        about = ConversationSettings(title="made together")
        return len(conversations.create(connection, "anna", about=about).id)

    def conflicts(connection: Connection) -> int:
        conversations.create(connection, "anna", about=ConversationSettings(title="never"))
        conversations.change(connection, "anna", made.id, ConversationUpdate(version=7, keep=0))
        return 0

    def taken(connection: Connection) -> int:
        for _ in range(2):
            idempotency.begin(connection, "anna", "key", IdempotencyRecord("r", made.id, 1, None, None))
        return 0

    async def all_at_once() -> list[Any]:
        blocked = asyncio.create_task(store.awrite(lambda connection: threading.Event().wait(0.05)))
        await asyncio.sleep(0.01)
        rest = [store.awrite(work) for work in (works, conflicts, taken, works)]
        return await asyncio.gather(blocked, *rest, return_exceptions=True)

    outcomes = asyncio.run(all_at_once())
    assert [type(outcome) for outcome in outcomes] == [bool, int, Conflict, KeyAlreadyUsed, int]
    listed, _ = store.read(conversations.listing, "anna", limit=9)
    assert [each.about.title for each in listed] == ["made together", "made together", None]


def test_the_event_loop_goes_on_while_the_store_works(store: Store) -> None:
    async def ticks() -> int:
        slow = asyncio.create_task(store.awrite(lambda connection: threading.Event().wait(0.2)))
        count = 0
        while not slow.done():
            await asyncio.sleep(0.005)
            count += 1
        return count

    assert asyncio.run(ticks()) > 10


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "s.db"))
    store.close()
    store.close()
    for call in (store.awrite, store.aread):
        with pytest.raises(Unavailable, match="closed"):
            asyncio.run(call(lambda connection: None))


# Keys


def test_a_key_is_kept_as_its_hash_alone(store: Store) -> None:
    key = store.write(keys.add, "anna")
    other = store.write(keys.add, "bob")
    assert key.startswith("cm-") and len(key) == 46 and key != other
    assert store.digests() == {keys.digest(key): "anna", keys.digest(other): "bob"}
    stored = store.read(lambda connection: str(connection.execute(text("select * from convmodel_keys")).all()))
    assert key not in stored and key[3:] not in stored
    assert [each.name for each in store.read(keys.listing)] == ["anna", "bob"]
    assert store.write(keys.remove, "anna")
    assert not store.write(keys.remove, "anna")
    assert set(store.digests().values()) == {"bob"}


@pytest.mark.parametrize("name", ["", "local", "a b", "é", "x" * 65, "a\n", "-x", "tele:gram"])
def test_what_cannot_be_the_name_of_a_key_is_refused(tmp_path: Path, name: str) -> None:
    with Store(str(tmp_path / "s.db")) as store, pytest.raises(ValueError, match="cannot be the name of a key"):
        store.write(keys.add, name)


def test_a_name_has_one_key(store: Store) -> None:
    store.write(keys.add, "anna")
    with pytest.raises(KeyAlreadyUsed, match="there is a key named 'anna' already"):
        store.write(keys.add, "anna")


# Idempotency


def test_what_was_answered_is_found_under_its_key_until_it_is_forgotten(store: Store) -> None:
    made = create(store)
    before = IdempotencyRecord("digest", made.id, 2, {"text": "x"}, None)
    store.write(idempotency.begin, "anna", "k" * 300, before)
    assert store.read(idempotency.find, "anna", "k" * 300) == before
    assert store.read(idempotency.find, "bob", "k" * 300) is None
    store.write(idempotency.finish, "anna", "k" * 300, {"turn": 1})
    found = store.read(idempotency.find, "anna", "k" * 300)
    assert found is not None and found.answer == {"turn": 1}
    assert store.write(idempotency.forget, before=2**60) == 1
    store.write(idempotency.begin, "anna", "k", before)
    store.write(conversations.remove, "anna", made.id)
    assert store.read(idempotency.find, "anna", "k") is None


# Deletion


def test_old_conversations_are_purged_and_young_ones_stay(store: Store) -> None:
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


def test_what_was_deleted_is_in_no_file_of_the_store(tmp_path: Path) -> None:
    """Many are made, changed and deleted in turn: without rewriting the file, copies stay in unused parts of pages."""
    source = random.Random(3)
    alive: dict[str, int] = {}
    with Store(str(tmp_path / "s.db")) as store:

        def some(connection: Connection) -> None:
            for _ in range(250):
                number = source.randrange(10**6)
                said = f"<m{number:06}>" + "x" * source.choice([5, 60, 900, 6000])
                turns = [Turn(n, "user", said, n) for n in range(1, source.randint(2, 6))]
                alive[conversations.create(connection, "anna", about=ConversationSettings(), turns=turns).id] = number
            for id in source.sample(sorted(alive), 150):
                conversations.remove(connection, "anna", id)
                del alive[id]

        for _ in range(8):
            store.write(some)
        assert len(texts_in(tmp_path)) > len(set(alive.values()))
        asyncio.run(store.clean())
        assert not store.unclean
        assert texts_in(tmp_path) == {f"<m{number:06}>".encode() for number in alive.values()}
        store.write(conversations.remove_all, "anna")
        asyncio.run(store.clean())
        assert texts_in(tmp_path) == set()


def test_what_a_reader_holds_up_is_cleaned_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convmodel.serving.store.database.CLEANING_SECONDS", 0)
    with Store(str(tmp_path / "s.db")) as store:
        made = create(store, "anna", "<m000001>")
        reader = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        reader.execute("begin")
        reader.execute("select count(*) from convmodel_turns").fetchall()
        store.write(conversations.remove, "anna", made.id)
        asyncio.run(store.clean())
        assert store.unclean
        assert texts_in(tmp_path) != set()
        reader.rollback()
        reader.close()
        create(store)  # who writes is not kept from it

        async def purging() -> None:
            task = asyncio.create_task(keep_purging(store, None))
            while store.unclean:
                await asyncio.sleep(0.01)
            task.cancel()

        asyncio.run(purging())
        assert texts_in(tmp_path) == set()


def test_a_deletion_that_cannot_be_cleaned_up_after_is_told_in_the_log(
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


# Opening


def test_a_store_is_there_again_when_it_is_opened_again(address: str) -> None:
    with Store(address) as store:
        made = create(store, "anna", "Hello", "Hi")
    with Store(address) as store, Store(address) as beside:
        assert load(store, made.id) == made == load(beside, made.id)


def test_stores_that_are_opened_at_the_same_time_make_their_tables_once(address: str) -> None:
    stores: list[Store] = []
    threads = [threading.Thread(target=lambda: stores.append(Store(address))) for _ in range(4)]
    run_all(threads)
    assert len(stores) == 4
    for store in stores:
        create(store)
        store.close()


def test_the_tables_of_a_newer_version_are_left_alone(address: str) -> None:
    with Store(address) as store:
        store.write(lambda connection: connection.execute(text("update convmodel_schema set version = 99")))
    with pytest.raises(StoreError, match="its tables have version 99, and this convmodel supports version 1"):
        Store(address)


def test_a_new_file_is_for_its_owner_alone_and_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    with Store(str(tmp_path / "s.db")) as store:
        create(store)
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        settings = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}

        def found(connection: Connection, name: str) -> object:
            return connection.execute(text(f"pragma {name}")).scalar()

        for name, value in settings.items():
            assert store.read(found, name) == store.write(found, name) == value, name


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("missing/s.db", r"missing/s.db: there is no folder .*missing; create it"),
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
def test_what_is_no_store_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("Dear diary, this is no database")
    Path("broken").write_bytes(b"SQLite format 3\0" + b"\x07" * 5000)
    with pytest.raises(StoreError, match=told) as error:
        Store(address)
    assert "secret" not in str(error.value) and "\n" not in str(error.value)


# What goes wrong


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    with Store(str(tmp_path / "s.db")) as store:
        made = create(store, "anna", "Hello")
        page = store.read(lambda connection: connection.execute(text("pragma page_count")).scalar())
        database = store._database

        def full(connection: Connection) -> Any:
            connection.execute(text(f"pragma max_page_count = {page}"))
            return conversations.create(connection, "anna", about=ConversationSettings(title="x" * 100_000))

        with pytest.raises(Unavailable, match="database or disk is full"):
            store.write(full)
        outcomes = database.write_together([lambda connection: create_small(connection), full])
        assert [type(outcome) for outcome in outcomes] == [ConversationRecord, Unavailable]
        assert load(store, made.id) == made


def create_small(connection: Connection) -> ConversationRecord:
    return conversations.create(connection, "anna", about=ConversationSettings(title="small"))


def test_a_store_that_another_process_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convmodel.serving.store.engine.BUSY_SECONDS", 0.05)
    with Store(str(tmp_path / "s.db")) as store:
        made = create(store, "anna", "Hello")
        other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        other.execute("begin immediate")
        with pytest.raises(Unavailable, match="database is locked"):
            create(store)
        assert load(store, made.id) == made
        other.rollback()
        other.close()
        create(store)


def test_no_text_is_in_what_is_told_of_an_error(store: Store) -> None:
    def wrong(connection: Connection) -> None:
        connection.execute(text("insert into convmodel_turns (text) values (:said)"), {"said": "my secret"})

    with pytest.raises((Unavailable, KeyAlreadyUsed)) as error:
        store.write(wrong)
    assert "my secret" not in "".join(traceback.format_exception(error.value))


def test_sqlite_and_its_driver_are_all_that_a_store_in_a_file_needs() -> None:
    program = "import sys; sys.modules['psycopg'] = None; from convmodel.serving.store import Store; Store(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, "postgresql://x@127.0.0.1/x"], capture_output=True, text=True, cwd=os.getcwd()
    )
    assert 'needs psycopg; pip install "convmodel[postgres]"' in done.stderr

import random
import threading
from pathlib import Path
from typing import Any

import pytest

from convmodel.serving.store import Store, conversations
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.errors import Conflict, Missing
from convmodel.serving.store.records import ConversationSettings, Turn
from tests.conftest import random_text
from tests.serving.store.helpers import change, create, load, run_all


def test_a_conversation_with_any_characters_is_loaded_as_it_was_stored(store: Store) -> None:
    source = random.Random(5)
    texts = ["\x00", "'; drop table convmodel_turns; --", *(random_text(source) for _ in range(20))]
    about: dict[str, Any] = {"title": texts[0], "persona": tuple(texts[3:6]), "preset": "bold", "seed": 2**62}
    meta = {"a": {"b": "\x00"}, "numbers": [2**63, -(2**1000), 1e308, 5e-324]}
    created = create(store, "anna", *texts, **about, options={"top_k": None, "x": [1.5, "ü"]}, meta=meta)
    loaded = load(store, created.id)
    assert loaded == created
    assert [turn.text for turn in loaded.turns] == texts
    assert loaded.about == ConversationSettings(**about, options={"top_k": None, "x": [1.5, "ü"]}, meta=meta)
    assert (loaded.version, loaded.turns_version, loaded.turn_count, loaded.waiting) == (1, 1, 22, False)


def test_each_change_increments_the_version_and_leaves_the_rest_alone(store: Store) -> None:
    created = create(store, "anna", "Hello")
    other = create(store, "anna", "Hello")
    reply = Turn(2, "model", "Hi", 99, {"seed": 3, "candidates": [{"text": "Hi"}]}, chosen=1, blocked=True)
    changed = change(store, created, turns_version=1, add=[reply])
    assert (changed.version, changed.turns_version, changed.turn_count) == (2, 2, 2)
    assert load(store, created.id).turns == (*created.turns, reply)
    changed = change(store, created, about={"title": "Tea", "seed": None})
    assert (changed.version, changed.turns_version, changed.about.title) == (3, 2, "Tea")
    change(store, created, keep=1, add=[Turn(2, "model", "Other", 100)])
    assert [turn.text for turn in load(store, created.id).turns] == ["Hello", "Other"]
    changed = change(store, created, keep=0)
    assert (changed.version, changed.turns_version, changed.turn_count, load(store, created.id).turns) == (5, 5, 0, ())
    assert load(store, other.id) == other


def test_the_second_change_to_the_same_version_is_a_conflict(store: Store) -> None:
    created = create(store, "anna", "Hello")
    change(store, created, turns_version=1, add=[Turn(2, "model", "Hi", 1)])
    for name in ("turns_version", "version"):
        with pytest.raises(Conflict):
            change(store, created, add=[Turn(2, "model", "Ho", 1)], **{name: 1})
    assert [turn.text for turn in load(store, created.id).turns] == ["Hello", "Hi"]


def test_one_of_many_concurrent_writers_wins(store: Store) -> None:
    created = create(store, "anna", "Hello")
    outcomes: list[str] = []
    ready = threading.Barrier(8)

    def write(writer: int) -> None:
        ready.wait()
        try:
            change(store, created, turns_version=1, add=[Turn(2, "model", str(writer), 1)])
            outcomes.append(str(writer))
        except Conflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    run_all(threads)
    [winner] = [outcome for outcome in outcomes if outcome != "conflict"]
    assert len(outcomes) == 8
    assert load(store, created.id).turns[1].text == winner


def test_another_owners_conversation_looks_like_a_missing_one(store: Store) -> None:
    created = create(store, "anna", "secret")
    for id in (created.id, "A" * 22, "", "\x00", "' or 1=1 --", "é" * 22):
        with pytest.raises(Missing):
            load(store, id, "bob")
        with pytest.raises(Missing):
            store.write(conversations.remove, "bob", id)
        with pytest.raises(Missing):
            store.write(conversations.change, "bob", id, ConversationUpdate(keep=0))
    assert store.read(conversations.listing, "bob", limit=5) == ([], None)
    assert store.write(conversations.remove_all, "bob") == []
    assert load(store, created.id) == created


def test_pages_list_each_conversation_once_despite_changes_between_them(store: Store) -> None:
    records = [create(store, "anna", "Hello", f"reply {n}") for n in range(10)]
    create(store, "bob", "Hello")

    def page(before: str | None) -> tuple[list[Any], str | None]:
        return store.read(conversations.listing, "anna", limit=4, before=before)

    first, after = page(None)
    change(store, records[0], about={"title": "touched"})
    store.write(conversations.remove, "anna", first[3].id)
    create(store)
    second, after = page(after)
    third, end = page(after)
    assert [listed.id for listed in (*first, *second, *third)] == [record.id for record in reversed(records)]
    assert end is None
    assert first[0].last.text == "reply 9"
    assert first[0].last.speaker == "model"
    assert page(None)[0][0].last is None


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "12.abc", "x." + "a" * 22, "\x00", "a" * 1000, "1." + "a" * 22 + "\n"]
)
def test_an_invalid_cursor_is_rejected(tmp_path: Path, cursor: str) -> None:
    with Store(str(tmp_path / "s.db")) as store, pytest.raises(ValueError, match="before is not a cursor"):
        store.read(conversations.listing, "anna", limit=4, before=cursor)

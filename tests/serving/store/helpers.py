"""Helpers of the tests of the store."""

import threading
from typing import Any

from convmodel.serving.store import Store, conversations
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.records import ConversationRecord, ConversationSettings, Turn


def create(store: Store, owner: str = "anna", *texts: str, **about: Any) -> ConversationRecord:
    turns = [Turn(n, "user" if n % 2 else "model", text, 10 + n) for n, text in enumerate(texts, 1)]
    return store.write(conversations.create, owner, about=ConversationSettings(**about), turns=turns)


def change(store: Store, record: ConversationRecord, **fields: Any) -> Any:
    return store.write(conversations.change, "anna", record.id, ConversationUpdate(**fields))


def load(store: Store, id: str, owner: str = "anna") -> ConversationRecord:
    return store.read(conversations.load, owner, id)


def run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

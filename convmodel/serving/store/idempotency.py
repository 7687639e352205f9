"""Records of requests with an idempotency key and their responses, so that a repeated request is executed once."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from convmodel.serving.store import conversations
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.records import ConversationHeader, ConversationRecord, ConversationSettings, Turn, now
from convmodel.serving.store.tables import IDEMPOTENCY

_I = IDEMPOTENCY.c


@dataclass(frozen=True)
class IdempotencyRecord:
    """A request with an idempotency key, and its response.

    Args:
        request: SHA-256 of the request.
        conversation: id of the conversation.
        turns_version: version of the conversation's turns when the record was stored, including the request's own
            user turn.
        said: JSON with the user's `turn` that the request stored and the conversation's `version` after it; None if the
            request stored no user turn.
        answer: the response body as JSON; None until the response is stored.
    """

    request: str
    conversation: str
    turns_version: int
    said: Mapping[str, Any] | None = None
    answer: Mapping[str, Any] | None = None


def sha256(*parts: str) -> str:
    """Return the SHA-256 of several texts in hexadecimal.

    Each text is prefixed with its length, so that ("ab", "c") and ("a", "bc") have different digests.
    """
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")).hexdigest()


def find(connection: Connection, owner: str, key: str) -> IdempotencyRecord | None:
    """Return the record of an owner's idempotency key; None if the key is new."""
    columns = [_I[field.name] for field in fields(IdempotencyRecord)]
    row = connection.execute(select(*columns).where(_is(owner, key))).one_or_none()
    return None if row is None else IdempotencyRecord(*row)


def begin(connection: Connection, owner: str, key: str, record: IdempotencyRecord) -> None:
    """Store the record of a new request.

    Raises:
        sqlalchemy.exc.IntegrityError: if the key exists; `Database.write` translates it to `KeyAlreadyUsed`.
    """
    connection.execute(insert(IDEMPOTENCY).values(owner=owner, key=sha256(key), created=now(), **vars(record)))


def finish(connection: Connection, owner: str, key: str, answer: Mapping[str, Any]) -> None:
    """Store the response body of a request in its record."""
    connection.execute(update(IDEMPOTENCY).where(_is(owner, key)).values(answer=answer))


def create_once(
    connection: Connection, owner: str, key: str | None, digest: str, about: ConversationSettings, turns: Sequence[Turn]
) -> ConversationRecord:
    """Create a conversation, and store the request's record if the request has a key.

    Args:
        key: the idempotency key, or None.
        digest: SHA-256 of the request.
        about: settings of the conversation.
        turns: turns of the conversation.

    Raises:
        sqlalchemy.exc.IntegrityError: see `begin`.
    """
    conversation = conversations.create(connection, owner, about=about, turns=turns)
    if key is not None:
        begin(connection, owner, key, IdempotencyRecord(digest, conversation.id, conversation.turns_version))
    return conversation


def change_once(
    connection: Connection,
    owner: str,
    key: str | None,
    record: IdempotencyRecord,
    changes: ConversationUpdate | None,
    *,
    begun: bool = False,
) -> tuple[ConversationHeader, IdempotencyRecord]:
    """Change a conversation, and store the request's record if the request has a key.

    Args:
        key: the idempotency key, or None.
        record: the record of the request.
        changes: changes to the conversation; None changes nothing.
        begun: whether the record is stored already, so that only its answer is stored.

    Returns:
        The changed conversation, and the record with the versions after the change, also in its JSON values.

    Raises:
        Missing, Conflict: see `conversations.change`.
        sqlalchemy.exc.IntegrityError: see `begin`.
    """
    if changes is None:
        stored: ConversationHeader = conversations.load(connection, owner, record.conversation, replies=False)
    else:
        stored = conversations.change(connection, owner, record.conversation, changes)
    said = record.said if begun else _with_version(record.said, stored)
    answer = _with_version(record.answer, stored)
    record = replace(record, turns_version=stored.turns_version, said=said, answer=answer)
    if key is not None and begun:
        finish(connection, owner, key, answer or {})
    elif key is not None:
        begin(connection, owner, key, record)
    return stored, record


def forget(connection: Connection, *, before: int) -> int:
    """Delete the records created before a time, in microseconds since 1970; return the number of deleted records."""
    return connection.execute(delete(IDEMPOTENCY).where(_I.created < before)).rowcount


def _with_version(value: Mapping[str, Any] | None, stored: ConversationHeader) -> Mapping[str, Any] | None:
    return value and {**value, "version": stored.version}


def _is(owner: str, key: str) -> ColumnElement[bool]:
    return and_(_I.owner == owner, _I.key == sha256(key))

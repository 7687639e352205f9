"""A key that a client sends with a request in, what was answered the last time out."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update

from convmodel.serving.store.records import now
from convmodel.serving.store.tables import IDEMPOTENCY

_I = IDEMPOTENCY.c


@dataclass(frozen=True)
class IdempotencyRecord:
    """A request that came before with the same key.

    Args:
        request: the SHA-256 of what was asked.
        conversation: in which.
        turns_version: of the conversation when the request's own turn was stored.
        said: that turn, as JSON; None where the request had none.
        answer: as JSON; None while there is none.
    """

    request: str
    conversation: str
    turns_version: int
    said: Mapping[str, Any] | None
    answer: Mapping[str, Any] | None


def sha256(*parts: str) -> str:
    """A digest of texts, in which none runs into the next."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")).hexdigest()


def find(connection: Connection, owner: str, key: str) -> IdempotencyRecord | None:
    """The request that came with this key before."""
    row = connection.execute(select(IDEMPOTENCY).where(_is(owner, key))).one_or_none()
    if row is None:
        return None
    return IdempotencyRecord(row.request, row.conversation, row.turns_version, row.said, row.answer)


def begin(connection: Connection, owner: str, key: str, before: IdempotencyRecord) -> None:
    """Keeps a request.

    Raises:
        sqlalchemy.exc.IntegrityError: when there is one of that key; `Database.write` makes `KeyAlreadyUsed` of it.
    """
    connection.execute(insert(IDEMPOTENCY).values(owner=owner, key=sha256(key), created=now(), **vars(before)))


def finish(connection: Connection, owner: str, key: str, answer: Mapping[str, Any]) -> None:
    """Keeps what was answered."""
    connection.execute(update(IDEMPOTENCY).where(_is(owner, key)).values(answer=answer))


def forget(connection: Connection, *, before: int) -> int:
    """Drops what was kept earlier than that, in microseconds since 1970; returns how many."""
    return connection.execute(delete(IDEMPOTENCY).where(_I.created < before)).rowcount


def _is(owner: str, key: str) -> Any:
    return and_(_I.owner == owner, _I.key == sha256(key))

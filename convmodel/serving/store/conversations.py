"""Queries and updates of stored conversations; each function takes a connection with an open transaction."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, null, select, tuple_, update

from convmodel.serving.store import records
from convmodel.serving.store.errors import Conflict, Missing
from convmodel.serving.store.tables import CONVERSATIONS, TURNS

CURSOR = "[0-9]{1,18}[.][A-Za-z0-9_-]{22}"
"""Regular expression of a page cursor: creation time and id of the last conversation of the previous page."""

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_C = CONVERSATIONS.c
_T = TURNS.c
_SETTINGS = tuple(field.name for field in fields(records.ConversationSettings))
_TURN = [_T[field.name] for field in fields(records.Turn)]
_WITHOUT_REPLY = [null() if column.name == "reply" else column for column in _TURN]


def create(
    connection: Connection, owner: str, *, about: records.ConversationSettings, turns: Sequence[records.Turn] = ()
) -> records.ConversationRecord:
    """Create a conversation with version 1.

    Args:
        owner: name of the API key that may access the conversation.
        about: the settings.
        turns: the first turns, with their numbers from 1.

    Returns:
        The conversation with its new id.
    """
    created = records.now()
    values = {
        **vars(about),
        **{"id": secrets.token_urlsafe(16), "owner": owner, "created": created, "updated": created},
        **{"version": 1, "turns_version": 1, "turn_count": len(turns), "options": dict(about.options or {})},
    }
    row = connection.execute(insert(CONVERSATIONS).values(values).returning(*CONVERSATIONS.c)).one()
    _add(connection, row.id, turns)
    return records.ConversationRecord(**_header(row), turns=tuple(turns))


def load(connection: Connection, owner: str, id: str, *, replies: bool = True) -> records.ConversationRecord:
    """Return a conversation with its turns; without `replies`, each `Turn.reply` is None.

    Raises:
        Missing: if the conversation does not exist or belongs to another owner.
    """
    row = connection.execute(select(CONVERSATIONS).where(_is(owner, id))).one_or_none()
    if row is None:
        raise Missing(id)
    columns = _TURN if replies else _WITHOUT_REPLY
    turns = connection.execute(select(*columns).where(_T.conversation == id).order_by(_T.number))
    return records.ConversationRecord(**_header(row), turns=tuple(records.Turn(*turn) for turn in turns))


def listing(
    connection: Connection, owner: str, *, limit: int, before: str | None = None
) -> tuple[list[records.ConversationSummary], str | None]:
    """Return a page of an owner's conversations, newest first.

    Args:
        limit: maximum number of conversations in the page.
        before: cursor returned with the previous page; None for the first page.

    Returns:
        The conversations, and the cursor of the next page, or None on the last page. A conversation created after the
        first page was read is not on a later page, and deletions do not shift the pages.

    Raises:
        ValueError: for an invalid cursor.
    """
    conditions = [_C.owner == owner]
    if before is not None:
        conditions.append(tuple_(_C.created, _C.id) < tuple_(*_parse_cursor(before)))
    last = and_(_T.conversation == _C.id, _T.number == _C.turn_count)
    rows = connection.execute(
        select(*CONVERSATIONS.c, *_WITHOUT_REPLY)
        .select_from(CONVERSATIONS.outerjoin(TURNS, last))
        .where(*conditions)
        .order_by(_C.created.desc(), _C.id.desc())
        .limit(limit + 1)
    ).all()
    lasts = [row[len(CONVERSATIONS.c) :] for row in rows[:limit]]  # a row of NULL for a conversation without turns
    turns = [None if last[0] is None else records.Turn(*last) for last in lasts]
    pairs = zip(rows, turns, strict=False)
    page = [records.ConversationSummary(**_header(row), last=turn) for row, turn in pairs]
    return page, f"{page[-1].created}.{page[-1].id}" if len(rows) > limit else None


@dataclass(frozen=True)
class ConversationUpdate:
    """Changes to a conversation, and the versions that it must have.

    Args:
        version: required version of the conversation; None accepts any.
        turns_version: required version of the turns; None accepts any.
        about: changed settings by their names in `ConversationSettings`.
        keep: number of leading turns to keep; None keeps all.
        add: turns to append to the kept turns, with their numbers.
    """

    version: int | None = None
    turns_version: int | None = None
    about: Mapping[str, Any] | None = None
    keep: int | None = None
    add: Sequence[records.Turn] = ()


def change(connection: Connection, owner: str, id: str, changes: ConversationUpdate) -> records.ConversationHeader:
    """Apply changes to a conversation, increment its version, and return it without its turns.

    Raises:
        Missing: if the conversation does not exist or belongs to another owner.
        Conflict: if the conversation or its turns do not have the required version; nothing is changed.
        ValueError: for unknown settings.
    """
    settings = dict(changes.about or {})
    if unknown := settings.keys() - set(_SETTINGS):
        raise ValueError(f"unknown setting {sorted(unknown)[0]}")
    values: dict[str, Any] = {**settings, "version": _C.version + 1, "updated": records.now()}
    if changes.keep is not None or changes.add:
        kept = _C.turn_count if changes.keep is None else changes.keep
        values |= {"turns_version": _C.version + 1, "turn_count": kept + len(changes.add)}
    where = [_is(owner, id)]
    for column, required in ((_C.version, changes.version), (_C.turns_version, changes.turns_version)):
        if required is not None:
            where.append(column == required)
    changed = connection.execute(update(CONVERSATIONS).where(*where).values(values).returning(*CONVERSATIONS.c))
    row = changed.one_or_none()
    if row is None:
        if connection.execute(select(_C.id).where(_is(owner, id))).one_or_none() is None:
            raise Missing(id)
        raise Conflict(id)
    if changes.keep is not None:
        connection.execute(delete(TURNS).where(_T.conversation == id, _T.number > changes.keep))
    _add(connection, id, changes.add)
    return records.ConversationHeader(**_header(row))


def remove(connection: Connection, owner: str, id: str) -> None:
    """Delete a conversation with its turns and idempotency records.

    Raises:
        Missing: if the conversation does not exist or belongs to another owner.
    """
    if not connection.execute(delete(CONVERSATIONS).where(_is(owner, id))).rowcount:
        raise Missing(id)


def remove_all(connection: Connection, owner: str) -> list[str]:
    """Delete all conversations of an owner; return their ids."""
    deleted = connection.execute(delete(CONVERSATIONS).where(_C.owner == owner).returning(_C.id))
    return list(deleted.scalars())


def _is(owner: str, id: str) -> ColumnElement[bool]:
    # A string that cannot be an id is not sent to the database, since PostgreSQL rejects U+0000 in a parameter.
    return and_(_C.id == (id if _ID.fullmatch(id) else ""), _C.owner == owner)


def _add(connection: Connection, id: str, turns: Sequence[records.Turn]) -> None:
    if turns:
        connection.execute(insert(TURNS), [{"conversation": id, **vars(turn)} for turn in turns])


def _header(row: Row[Any]) -> dict[str, Any]:
    columns = row._mapping
    settings = {name: columns[name] for name in _SETTINGS} | {"persona": tuple(columns["persona"])}
    names = [field.name for field in fields(records.ConversationHeader) if field.name != "about"]
    return {"about": records.ConversationSettings(**settings), **{name: columns[name] for name in names}}


def _parse_cursor(text: str) -> tuple[int, str]:
    if not re.fullmatch(CURSOR, text):
        raise ValueError("before is not a cursor; use the next of the previous page")
    created, _, id = text.partition(".")
    return int(created), id

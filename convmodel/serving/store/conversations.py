"""A connection in a transaction and an owner in, conversations and changes to them out."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, select, tuple_, update

from convmodel.serving.store.errors import Conflict, Missing
from convmodel.serving.store.records import (
    ConversationHeader,
    ConversationRecord,
    ConversationSettings,
    ConversationSummary,
    Speaker,
    Turn,
    now,
)
from convmodel.serving.store.tables import CONVERSATIONS, TURNS

CURSOR = "[0-9]{1,18}[.][A-Za-z0-9_-]{22}"
"""What the cursor of a page looks like."""

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_C, _T = CONVERSATIONS.c, TURNS.c
_ABOUT = tuple(field.name for field in fields(ConversationSettings))
_WITHOUT_REPLIES = [column for column in TURNS.c if column.name != "reply"]


def create(
    connection: Connection, owner: str, *, about: ConversationSettings, turns: Sequence[Turn] = ()
) -> ConversationRecord:
    """Makes a conversation of version 1.

    Args:
        connection: in a transaction.
        owner: who alone can see it.
        about: what is set.
        turns: that it begins with, numbered from 1.
    """
    created = now()
    values = {
        **vars(about),
        **{"id": secrets.token_urlsafe(16), "owner": owner, "created": created, "updated": created},
        **{"version": 1, "turns_version": 1, "turn_count": len(turns), "options": dict(about.options or {})},
    }
    row = connection.execute(insert(CONVERSATIONS).values(values).returning(*CONVERSATIONS.c)).one()
    _add(connection, row.id, turns)
    return ConversationRecord(**_stored(row), turns=tuple(turns))


def load(connection: Connection, owner: str, id: str, *, replies: bool = True) -> ConversationRecord:
    """A conversation with its turns.

    Args:
        connection: in a transaction.
        owner: who asks.
        id: which.
        replies: whether to read how the turns came to be; otherwise `reply` is None.

    Raises:
        Missing: when there is none, or it is somebody else's.
    """
    row = connection.execute(select(CONVERSATIONS).where(_is(owner, id))).one_or_none()
    if row is None:
        raise Missing(id)
    columns = TURNS.c if replies else _WITHOUT_REPLIES
    turns = connection.execute(select(*columns).where(_T.conversation == id).order_by(_T.number))
    return ConversationRecord(**_stored(row), turns=tuple(map(_turn, turns)))


def listing(
    connection: Connection, owner: str, *, limit: int, before: str | None = None
) -> tuple[list[ConversationSummary], str | None]:
    """A page of an owner's conversations, the youngest first.

    Args:
        connection: in a transaction.
        owner: who asks.
        limit: how many at most.
        before: the cursor of the page before; None for the first.

    Returns:
        The conversations, and the cursor of the next page; None on the last. What is made meanwhile is on no further
        page, and what is deleted shifts nothing.

    Raises:
        ValueError: for anything that is no cursor.
    """
    wanted = [_C.owner == owner]
    if before is not None:
        wanted.append(tuple_(_C.created, _C.id) < tuple_(*_cursor(before)))
    last = and_(_T.conversation == _C.id, _T.number == _C.turn_count)
    rows = connection.execute(
        select(*CONVERSATIONS.c, *[column.label(f"turn_{column.name}") for column in _WITHOUT_REPLIES])
        .select_from(CONVERSATIONS.outerjoin(TURNS, last))
        .where(*wanted)
        .order_by(_C.created.desc(), _C.id.desc())
        .limit(limit + 1)
    ).all()
    found = [ConversationSummary(**_stored(row), last=_last(row)) for row in rows[:limit]]
    more = len(rows) > limit
    return found, _as_cursor(found[-1]) if more else None


@dataclass(frozen=True)
class ConversationUpdate:
    """What is to be different about a conversation.

    Args:
        version: that it must have; None for any.
        turns_version: that it must have; None for any.
        about: settings by name.
        keep: the first turns, that stay; None when no turn goes.
        add: turns that follow them, numbered.
    """

    version: int | None = None
    turns_version: int | None = None
    about: Mapping[str, Any] | None = None
    keep: int | None = None
    add: Sequence[Turn] = ()


def change(connection: Connection, owner: str, id: str, wanted: ConversationUpdate) -> ConversationHeader:
    """Changes a conversation, all of it or nothing.

    Returns:
        The conversation as it is now, one version further.

    Raises:
        Missing: when there is none, or it is somebody else's.
        Conflict: when it is not of the version that is wanted.
        ValueError: for settings that there are not.
    """
    about = dict(wanted.about or {})
    if unknown := about.keys() - set(_ABOUT):
        raise ValueError(f"there is no {sorted(unknown)[0]} to set")
    values: dict[str, Any] = {**about, "version": _C.version + 1, "updated": now()}
    if wanted.keep is not None or wanted.add:
        kept = _C.turn_count if wanted.keep is None else wanted.keep
        values |= {"turns_version": _C.version + 1, "turn_count": kept + len(wanted.add)}
    where = [_is(owner, id)]
    where += [_C.version == wanted.version] if wanted.version is not None else []
    where += [_C.turns_version == wanted.turns_version] if wanted.turns_version is not None else []
    row = connection.execute(
        update(CONVERSATIONS).where(*where).values(values).returning(*CONVERSATIONS.c)
    ).one_or_none()
    if row is None:
        if connection.execute(select(_C.id).where(_is(owner, id))).one_or_none() is None:
            raise Missing(id)
        raise Conflict(id)
    if wanted.keep is not None:
        connection.execute(delete(TURNS).where(_T.conversation == id, _T.number > wanted.keep))
    _add(connection, id, wanted.add)
    return ConversationHeader(**_stored(row))


def remove(connection: Connection, owner: str, id: str) -> None:
    """Deletes a conversation and everything that belongs to it.

    Raises:
        Missing: when there is none, or it is somebody else's.
    """
    if not connection.execute(delete(CONVERSATIONS).where(_is(owner, id))).rowcount:
        raise Missing(id)


def remove_all(connection: Connection, owner: str) -> list[str]:
    """Deletes an owner's conversations, and returns their ids."""
    gone = connection.execute(delete(CONVERSATIONS).where(_C.owner == owner).returning(_C.id))
    return list(gone.scalars())


def _is(owner: str, id: str) -> Any:
    # What cannot be an id is not asked for: PostgreSQL refuses U+0000.
    return and_(_C.id == (id if _ID.fullmatch(id) else ""), _C.owner == owner)


def _add(connection: Connection, id: str, turns: Sequence[Turn]) -> None:
    if turns:
        connection.execute(insert(TURNS), [{"conversation": id, **vars(turn)} for turn in turns])


def _stored(row: Row[Any]) -> dict[str, Any]:
    known = row._mapping
    about = {name: known[name] for name in _ABOUT} | {"persona": tuple(known["persona"])}
    return {
        "about": ConversationSettings(**about),
        **{field.name: known[field.name] for field in fields(ConversationHeader) if field.name != "about"},
    }


def _turn(row: Row[Any]) -> Turn:
    known = row._mapping
    return Turn(**{field.name: known[field.name] for field in fields(Turn) if field.name in known})


def _last(row: Row[Any]) -> Turn | None:
    if row.turn_number is None:
        return None
    speaker: Speaker = row.turn_speaker
    return Turn(row.turn_number, speaker, row.turn_text, row.turn_created, None, row.turn_chosen, row.turn_blocked)


def _as_cursor(last: ConversationHeader) -> str:
    return f"{last.created}.{last.id}"


def _cursor(text: str) -> tuple[int, str]:
    if not re.fullmatch(CURSOR, text):
        raise ValueError("before is no cursor; give the next of the page before")
    created, _, id = text.partition(".")
    return int(created), id

"""Persistent queue of the bot's tasks: operations for `BotState` on the table of updates."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from convmodel.serving.telegram.state import (
    BOTS,
    NOBODY,
    UPDATES,
    change_chat,
    chat_settings,
    forget_chat,
    move_chat,
    of_chat,
)
from convmodel.serving.telegram.updates import UpdateRequest

KEPT_SECONDS = 3 * 24 * 3600.0
"""Age in seconds at which a finished update is deleted. Telegram repeats an update for at most 24 hours."""


@dataclass(frozen=True)
class Task:
    """A message, or several messages of a chat that are answered together.

    Args:
        update: id of the update with the first message; identifies the task.
        chat: id of the chat.
        kind: type of the messages: "say", "command" or "unreadable".
        text: the texts of all messages, joined with newlines; for a command, its name and its arguments.
        message: id of the last message.
        thread: id of the topic in the chat; None for a chat without topics.
        group: whether the chat is a group.
        attempt: number of requests to the server whose reply was cut off.
        plan: details of the current request to the server; None for the first request.
        parts: messages of the answer; None before they are known.
        sent: number of parts that Telegram has accepted.
    """

    update: int
    chat: int
    kind: str
    text: str = ""
    message: int | None = None
    thread: int | None = None
    group: bool = False
    attempt: int = 0
    plan: Any = None
    parts: tuple[str, ...] | None = None
    sent: int = 0

    @property
    def command(self) -> tuple[str, str]:
        """Name and arguments of a command."""
        name, _, rest = self.text.partition(" ")
        return name, rest.strip()


# Updates


def next_offset(connection: Connection, bot: int) -> int | None:
    """Return the offset of the next call of getUpdates; None before the first call."""
    return connection.scalar(select(BOTS.c.next).where(BOTS.c.bot == bot))


def take_in(
    connection: Connection, bot: int, received: Sequence[tuple[int, UpdateRequest | None]], *, offset: int
) -> list[int]:
    """Store new updates, and the offset that confirms them to Telegram; skip updates that are stored already.

    Args:
        received: pairs of an update's id and its request; None for an update without a request.
        offset: offset of the next call of getUpdates.

    Returns:
        The ids of the chats with new tasks.
    """
    where = and_(UPDATES.c.bot == bot, UPDATES.c.update.in_([id for id, _ in received]))
    known = set(connection.scalars(select(UPDATES.c.update).where(where)))
    chats: dict[int, None] = {}
    for id, request in received:
        if id in known:
            continue
        known.add(id)
        if request is not None:
            _apply(connection, bot, request)
        connection.execute(insert(UPDATES).values(_columns(request) | {"bot": bot, "update": id}))
        if request is not None and request.to_do:
            chats[request.chat] = None
    if not connection.execute(update(BOTS).where(BOTS.c.bot == bot).values(next=offset)).rowcount:
        connection.execute(insert(BOTS).values(bot=bot, next=offset))
    return list(chats)


def _apply(connection: Connection, bot: int, request: UpdateRequest) -> None:
    """Apply an edit, a stop, or a change of the chat to the stored tasks and chats."""
    open_updates = update(UPDATES).where(_open(bot, request.chat))
    if request.kind == "edit":  # only messages whose reply has not begun
        edited = and_(UPDATES.c.first.is_(None), UPDATES.c.kind == "say", UPDATES.c.message == request.message)
        connection.execute(open_updates.where(edited).values(text=request.text))
    elif request.kind == "stop":
        in_progress = and_(UPDATES.c.first.is_not(None), UPDATES.c.parts.is_(None))
        connection.execute(open_updates.where(in_progress).values(stopped=True))
    elif request.kind == "moved" and request.moved_to is not None:
        move_chat(connection, bot, request.chat, request.moved_to)
    elif chat_settings(connection, bot, request.chat).left != (request.kind == "left"):
        change_chat(connection, bot, request.chat, left=request.kind == "left")


def _columns(request: UpdateRequest | None) -> dict[str, Any]:
    now = time.time()
    if request is None or not request.to_do:
        return {"received": now, "done": now}
    names = ("chat", "kind", "text", "group", "message", "thread")
    return {"received": now, **{name: getattr(request, name) for name in names}}


def prune(connection: Connection, bot: int) -> None:
    """Delete finished updates older than `KEPT_SECONDS`, which Telegram does not repeat any more."""
    old = and_(UPDATES.c.bot == bot, UPDATES.c.done < time.time() - KEPT_SECONDS)
    connection.execute(delete(UPDATES).where(old))


# Tasks


def chats_to_do(connection: Connection, bot: int) -> list[int]:
    """Return the ids of the chats with open tasks, in the order of their oldest open updates."""
    where = and_(UPDATES.c.bot == bot, UPDATES.c.done.is_(None))
    query = select(UPDATES.c.chat).where(where).group_by(UPDATES.c.chat).order_by(func.min(UPDATES.c.number))
    return list(connection.scalars(query))


def next_task(connection: Connection, bot: int, chat: int, *, characters: int) -> Task | None:
    """Return the next task of a chat, or None.

    It is the task in progress. If there is none, the oldest open messages of the same kind become a new task.

    Args:
        characters: maximum length of a turn; further messages are left for the next task.
    """
    rows = connection.execute(select(UPDATES).where(_open(bot, chat)).order_by(UPDATES.c.number)).all()
    members = [row for row in rows if row.first is not None]
    if rows and not members:
        members = _first_group(rows, characters)
        joined = update(UPDATES).where(UPDATES.c.number.in_([row.number for row in members]))
        connection.execute(joined.values(first=members[0].update))
    return _task(members) if members else None


def _first_group(rows: Sequence[Row[Any]], characters: int) -> list[Row[Any]]:
    """Return the leading rows of open updates that form one task."""
    group: list[Row[Any]] = []
    length = 0
    for row in rows:
        length += len(row.text or "") + 1
        # In a group chat every message is a separate task, since the messages come from several people.
        alone = row.kind == "command" or row.group
        if group and (alone or row.kind != group[0].kind or length > characters):
            break
        group.append(row)
    return group


def _task(rows: Sequence[Row[Any]]) -> Task:
    """Convert the rows of a task. The first row has its id and progress, and the last row the message to answer."""
    fields = {name: getattr(rows[0], name) for name in ("update", "chat", "kind", "attempt", "plan", "sent")}
    fields |= {name: getattr(rows[-1], name) for name in ("message", "thread", "group")}
    parts = None if rows[0].parts is None else tuple(rows[0].parts)
    return Task(**fields, text="\n".join(row.text for row in rows if row.text), parts=parts)


def is_stopped(connection: Connection, bot: int, task: Task) -> bool:
    """Return whether the user has stopped the reply to a task."""
    return any(connection.scalars(select(UPDATES.c.stopped).where(_of_task(bot, task))))


def change_task(connection: Connection, bot: int, /, task: Task, **values: Any) -> None:
    """Change columns of a task: `plan` and `attempt` before the next request to the server, `sent` after a message."""
    first = and_(UPDATES.c.bot == bot, UPDATES.c.update == task.update)
    connection.execute(update(UPDATES).where(first).values(values))


def store_answer(connection: Connection, bot: int, /, task: Task, parts: Iterable[str], **changes: Any) -> None:
    """Store the messages of the answer to a task, and changes to the `ChatSettings` of its chat."""
    change_task(connection, bot, task, parts=list(parts), sent=0)
    if changes:
        change_chat(connection, bot, task.chat, **changes)


def forget(connection: Connection, bot: int, task: Task, parts: Iterable[str]) -> None:
    """Delete the data of a task's chat, see `forget_chat`, and store `parts` as the messages of the answer."""
    forget_chat(connection, bot, task.chat)
    store_answer(connection, bot, task, parts)


def finish(connection: Connection, bot: int, task: Task) -> None:
    """Mark a task as done, and delete its texts."""
    values: dict[str, Any] = {"done": time.time(), "text": None, "parts": None, "plan": None}
    if task.kind == "command" and task.command[0] == "forget":
        values |= NOBODY
    connection.execute(update(UPDATES).where(_of_task(bot, task)).values(values))


def _open(bot: int, chat: int) -> ColumnElement[bool]:
    return and_(of_chat(UPDATES, bot, chat), UPDATES.c.done.is_(None))


def _of_task(bot: int, task: Task) -> ColumnElement[bool]:
    return and_(UPDATES.c.bot == bot, UPDATES.c.first == task.update, UPDATES.c.done.is_(None))

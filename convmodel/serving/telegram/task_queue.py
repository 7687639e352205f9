"""Persistent queue of the bot's tasks, and the state of its chats; every method is one transaction."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from convmodel.serving.store import Store
from convmodel.serving.telegram import chat_settings
from convmodel.serving.telegram.chat_settings import ChatSettings
from convmodel.serving.telegram.tables import BOTS, CONVERSATIONS, METADATA, UPDATES
from convmodel.serving.telegram.updates import UpdateRequest

T = TypeVar("T")

KEPT_SECONDS = 3 * 24 * 3600.0
"""Age at which a finished update is deleted. Telegram repeats an update for at most 24 hours."""


@dataclass(frozen=True)
class Task:
    """A message, or several messages of a chat that are answered together.

    Args:
        update: id of the first message's update; identifies the task.
        chat: id of the chat.
        kind: see `updates.Kind`.
        text: the texts of all messages, one per line; for a command, its name and arguments.
        message: id of the last message.
        thread: id of the topic in the chat; None for a chat without topics.
        group: whether the chat is a group.
        attempt: number of requests to the server whose reply was cut off.
        plan: details of the current request; None for the first request.
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


class TaskQueue:
    """The bot's tables in a store.

    Args:
        store: the store; its tables are created by `open`.
        bot: id of the bot.
    """

    def __init__(self, store: Store, *, bot: int) -> None:
        self._store = store
        self._bot = bot

    async def open(self) -> None:
        """Create the tables if there are none."""
        await self._store.awrite(lambda connection: METADATA.create_all(connection))

    # Updates

    async def next_offset(self) -> int | None:
        """Return the offset of the next getUpdates; None before the first."""
        return await self._read(lambda connection: connection.scalar(select(BOTS.c.next).where(self._me)))

    async def take_in(self, received: Sequence[tuple[int, UpdateRequest | None]], *, offset: int | None) -> list[int]:
        """Store new updates and the offset that confirms them; skip updates that are stored already.

        Args:
            received: update ids, and the requests of the updates.
            offset: the next offset; None leaves it unchanged.

        Returns:
            The chats with new tasks.
        """
        return await self._write(self._take_in, received, offset)

    def _take_in(
        self, connection: Connection, received: Sequence[tuple[int, UpdateRequest | None]], offset: int | None
    ) -> list[int]:
        where = and_(UPDATES.c.bot == self._bot, UPDATES.c.update.in_([id for id, _ in received]))
        known = set(connection.scalars(select(UPDATES.c.update).where(where)))
        chats: dict[int, None] = {}
        for id, request in received:
            if id in known:
                continue
            known.add(id)
            if request is not None:
                self._apply(connection, request)
            connection.execute(insert(UPDATES).values(_values(request) | {"bot": self._bot, "update": id}))
            if request is not None and request.to_do:
                chats[request.chat] = None
        if offset is not None and not connection.execute(update(BOTS).where(self._me).values(next=offset)).rowcount:
            connection.execute(insert(BOTS).values(bot=self._bot, next=offset))
        return list(chats)

    def _apply(self, connection: Connection, request: UpdateRequest) -> None:
        """Apply an update to stored tasks and chats."""
        if request.kind == "edit":  # only messages whose reply has not begun
            waits = and_(self._open(request.chat), UPDATES.c.first.is_(None), UPDATES.c.kind == "say")
            edited = update(UPDATES).where(waits, UPDATES.c.message == request.message)
            connection.execute(edited.values(text=request.text))
        elif request.kind == "stop":
            in_progress = and_(self._open(request.chat), UPDATES.c.first.is_not(None), UPDATES.c.parts.is_(None))
            connection.execute(update(UPDATES).where(in_progress).values(stopped=True))
        elif request.kind == "moved" and request.moved_to is not None:
            chat_settings.move(connection, self._bot, request.chat, request.moved_to)
        elif chat_settings.settings_of(connection, self._bot, request.chat).left != (request.kind == "left"):
            chat_settings.change(connection, self._bot, request.chat, {"left": request.kind == "left"})

    async def prune(self) -> None:
        """Delete finished updates that Telegram cannot repeat any more."""
        old = and_(UPDATES.c.bot == self._bot, UPDATES.c.done < time.time() - KEPT_SECONDS)
        await self._store.awrite(lambda connection: connection.execute(delete(UPDATES).where(old)) and None)

    # Tasks

    async def chats_to_do(self) -> list[int]:
        """Return the chats with open tasks, the longest-waiting first."""
        where = and_(UPDATES.c.bot == self._bot, UPDATES.c.done.is_(None))
        query = select(UPDATES.c.chat).where(where).group_by(UPDATES.c.chat).order_by(func.min(UPDATES.c.number))
        return await self._read(lambda connection: list(connection.scalars(query)))

    async def next_task(self, chat: int, *, characters: int) -> Task | None:
        """Return the next task of a chat: the one in progress, or the oldest message and following ones of its kind.

        Args:
            chat: id of the chat.
            characters: maximum length of a turn; longer sequences of messages become several tasks.
        """
        return await self._write(self._next_task, chat, characters)

    def _next_task(self, connection: Connection, chat: int, characters: int) -> Task | None:
        rows = connection.execute(select(UPDATES).where(self._open(chat)).order_by(UPDATES.c.number)).all()
        members = [row for row in rows if row.first is not None]
        if not members:
            members = _first_group(rows, characters)
            numbers = [row.number for row in members]
            joined = update(UPDATES).where(UPDATES.c.number.in_(numbers))
            connection.execute(joined.values(first=members[0].update if members else None))
        return _task(members) if members else None

    async def is_stopped(self, task: Task) -> bool:
        """Return whether the user has stopped the reply."""
        query = select(UPDATES.c.stopped).where(self._of(task))
        return await self._read(lambda connection: any(connection.scalars(query)))

    async def store_attempt(self, task: Task, *, plan: Any, attempt: int) -> None:
        """Store the details of the next request to the server before it is sent."""
        await self._set(task, plan=plan, attempt=attempt)

    async def store_answer(self, task: Task, parts: Iterable[str], **changes: Any) -> None:
        """Store the messages of an answer, and changes to the chat's `ChatSettings`, in one transaction."""

        def work(connection: Connection) -> None:
            connection.execute(update(UPDATES).where(self._first(task)).values(parts=list(parts), sent=0))
            if changes:
                chat_settings.change(connection, self._bot, task.chat, changes)

        await self._store.awrite(work)

    async def store_sent(self, task: Task, count: int) -> None:
        """Store the number of parts that Telegram has accepted."""
        await self._set(task, sent=count)

    async def finish(self, task: Task) -> None:
        """Mark a task as done, and delete its texts."""
        values: dict[str, Any] = {"done": time.time(), "text": None, "parts": None, "plan": None}
        if task.kind == "command" and task.command[0] == "forget":
            values |= chat_settings.NOBODY
        await self._store.awrite(
            lambda connection: connection.execute(update(UPDATES).where(self._of(task)).values(values)) and None
        )

    async def _set(self, task: Task, **values: Any) -> None:
        where = self._first(task)
        await self._store.awrite(
            lambda connection: connection.execute(update(UPDATES).where(where).values(values)) and None
        )

    # Chats

    async def settings(self, chat: int) -> ChatSettings:
        """Return the settings of a chat."""
        return await self._read(chat_settings.settings_of, self._bot, chat)

    async def change(self, chat: int, **values: Any) -> None:
        """Change columns of a chat; see `ChatSettings`."""
        await self._write(chat_settings.change, self._bot, chat, values)

    async def begin_conversation(self, chat: int, conversation: str) -> None:
        """Make a conversation, which does not have the chat's settings yet, the current one of the chat."""
        await self._write(chat_settings.begin_conversation, self._bot, chat, conversation)

    async def conversations(self, chat: int) -> list[str]:
        """Return all conversations of a chat that may exist on the server."""
        query = select(CONVERSATIONS.c.conversation).where(chat_settings.of_chat(CONVERSATIONS, self._bot, chat))
        return await self._read(lambda connection: list(connection.scalars(query)))

    async def move(self, chat: int, to: int) -> None:
        """Change the id of a chat."""
        await self._write(chat_settings.move, self._bot, chat, to)

    async def forget(self, task: Task, parts: Iterable[str]) -> None:
        """Delete the data of a chat, except messages that are not answered yet, and store `parts` as the answer."""

        def work(connection: Connection) -> None:
            chat_settings.forget(connection, self._bot, task.chat)
            connection.execute(update(UPDATES).where(self._first(task)).values(parts=list(parts), sent=0))

        await self._store.awrite(work)

    async def clean(self) -> None:
        """Wipe deleted text from the store's files."""
        await self._store.clean()

    # Rows

    @property
    def _me(self) -> ColumnElement[bool]:
        return BOTS.c.bot == self._bot

    def _open(self, chat: int) -> ColumnElement[bool]:
        return and_(chat_settings.of_chat(UPDATES, self._bot, chat), UPDATES.c.done.is_(None))

    def _first(self, task: Task) -> ColumnElement[bool]:
        return and_(UPDATES.c.bot == self._bot, UPDATES.c.update == task.update)

    def _of(self, task: Task) -> ColumnElement[bool]:
        return and_(UPDATES.c.bot == self._bot, UPDATES.c.first == task.update, UPDATES.c.done.is_(None))

    async def _read(self, operation: Callable[..., T], *arguments: Any) -> T:
        return await self._store.aread(operation, *arguments)

    async def _write(self, operation: Callable[..., T], *arguments: Any) -> T:
        return await self._store.awrite(operation, *arguments)


def _values(request: UpdateRequest | None) -> dict[str, Any]:
    """Return the columns of an update."""
    now = time.time()
    values: dict[str, Any] = {"received": now, "attempt": 0, "sent": 0, "stopped": False, "group": False}
    if request is None or not request.to_do:
        return values | {"done": now}
    values |= {"chat": request.chat, "kind": request.kind, "text": request.text, "group": request.group}
    return values | {"message": request.message, "thread": request.thread}


def _first_group(rows: Sequence[Row[Any]], characters: int) -> list[Row[Any]]:
    """Return the leading rows that form one task."""
    group: list[Row[Any]] = []
    length = 0
    for row in rows:
        length += len(row.text or "") + 1
        # In a group chat every message is a task of its own, since the messages come from several people.
        alone = row.kind == "command" or row.group
        if group and (alone or row.kind != group[0].kind or length > characters):
            break
        group.append(row)
    return group


def _task(rows: Sequence[Row[Any]]) -> Task:
    first = rows[0]
    last = rows[-1]
    return Task(
        update=first.update,
        chat=first.chat,
        kind=first.kind,
        text="\n".join(row.text for row in rows if row.text),
        message=last.message,
        thread=last.thread,
        group=last.group,
        attempt=first.attempt,
        plan=first.plan,
        parts=None if first.parts is None else tuple(first.parts),
        sent=first.sent,
    )

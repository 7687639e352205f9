"""What the bot must not forget in, rows of a store out: every method is one transaction."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from convmodel.serving.store import Store
from convmodel.serving.telegram import chat_settings as chat_rows
from convmodel.serving.telegram.chat_settings import ChatSettings
from convmodel.serving.telegram.tables import BOTS, CONVERSATIONS, METADATA, UPDATES
from convmodel.serving.telegram.updates import Asked

T = TypeVar("T")

KEPT_SECONDS = 3 * 24 * 3600.0
"""How long the number of an update that is done is kept. Telegram gives an update again for 24 hours at most."""


@dataclass(frozen=True)
class Task:
    """One message, or several of a chat that are answered together.

    Args:
        update: id of the first one's update: it names the task.
        kind: see `asking.Kind`.
        text: of all, a line each; of a command, its name and what followed.
        message: the last one's id.
        thread: of the chat, where it has some.
        attempt: how many requests to the server came to no whole reply.
        plan: what the current request is, where it is not the usual one.
        parts: the messages of the answer, or None before they are known.
        sent: how many of them Telegram has taken.
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
        """The name of a command, and what followed."""
        name, _, rest = self.text.partition(" ")
        return name, rest.strip()


class State:
    """The bot's own tables.

    Args:
        store: in which they stand. Nothing is read before `open`.
        bot: id of the bot.
    """

    def __init__(self, store: Store, *, bot: int) -> None:
        self._store, self._bot = store, bot

    async def open(self) -> None:
        """Makes the tables where there are none."""
        await self._store.awrite(lambda connection: METADATA.create_all(connection))

    # Updates

    async def next_offset(self) -> int | None:
        """The offset of the next getUpdates; None before the first one."""
        return await self._read(lambda connection: connection.scalar(select(BOTS.c.next).where(self._me)))

    async def take_in(self, received: Sequence[tuple[int, Asked | None]], *, offset: int | None) -> list[int]:
        """Keeps updates, those that were kept before not again, and the offset that confirms them.

        Args:
            received: ids of updates, and what they ask.

        Returns:
            The chats that have something to do.
        """
        return await self._write(self._take_in, received, offset)

    def _take_in(
        self, connection: Connection, received: Sequence[tuple[int, Asked | None]], offset: int | None
    ) -> list[int]:
        where = and_(UPDATES.c.bot == self._bot, UPDATES.c.update.in_([number for number, _ in received]))
        known = set(connection.scalars(select(UPDATES.c.update).where(where)))
        chats: dict[int, None] = {}
        for number, asked in received:
            if number not in known:
                known.add(number)
                if asked is not None:
                    self._follow(connection, asked)
                connection.execute(insert(UPDATES).values(_values(asked) | {"bot": self._bot, "update": number}))
                if asked is not None and asked.to_do:
                    chats[asked.chat] = None
        if offset is not None and not connection.execute(update(BOTS).where(self._me).values(next=offset)).rowcount:
            connection.execute(insert(BOTS).values(bot=self._bot, next=offset))
        return list(chats)

    def _follow(self, connection: Connection, asked: Asked) -> None:
        """What an update changes of what is there already."""
        if asked.kind == "edit":  # what is being replied to, or was, stays as it was said
            waits = and_(self._open(asked.chat), UPDATES.c.first.is_(None), UPDATES.c.kind == "say")
            connection.execute(update(UPDATES).where(waits, UPDATES.c.message == asked.message).values(text=asked.text))
        elif asked.kind == "stop":
            replied = and_(self._open(asked.chat), UPDATES.c.first.is_not(None), UPDATES.c.parts.is_(None))
            connection.execute(update(UPDATES).where(replied).values(stopped=True))
        elif asked.kind == "moved" and asked.moved_to is not None:
            chat_rows.move(connection, self._bot, asked.chat, asked.moved_to)
        elif chat_rows.settings_of(connection, self._bot, asked.chat).left != (asked.kind == "left"):
            chat_rows.change(connection, self._bot, asked.chat, {"left": asked.kind == "left"})

    async def prune(self) -> None:
        """Removes the numbers of updates that cannot come again."""
        old = and_(UPDATES.c.bot == self._bot, UPDATES.c.done < time.time() - KEPT_SECONDS)
        await self._store.awrite(lambda connection: connection.execute(delete(UPDATES).where(old)) and None)

    # Tasks

    async def chats_to_do(self) -> list[int]:
        """The chats that have something to do, the one that waits longest first."""
        where = and_(UPDATES.c.bot == self._bot, UPDATES.c.done.is_(None))
        query = select(UPDATES.c.chat).where(where).group_by(UPDATES.c.chat).order_by(func.min(UPDATES.c.number))
        return await self._read(lambda connection: list(connection.scalars(query)))

    async def next_task(self, chat: int, *, characters: int) -> Task | None:
        """What is to be done next in a chat: what was begun, or the oldest message and, of its kind, those after it.

        Args:
            characters: of a turn; messages that together have more become several.
        """
        return await self._write(self._next_task, chat, characters)

    def _next_task(self, connection: Connection, chat: int, characters: int) -> Task | None:
        rows = connection.execute(select(UPDATES).where(self._open(chat)).order_by(UPDATES.c.number)).all()
        together = [row for row in rows if row.first is not None]
        if not together:
            together = _together(rows, characters)
            numbers = [row.number for row in together]
            joined = update(UPDATES).where(UPDATES.c.number.in_(numbers))
            connection.execute(joined.values(first=together[0].update if together else None))
        return _task(together) if together else None

    async def is_stopped(self, task: Task) -> bool:
        """Whether the person has wanted the reply to end by now."""
        query = select(UPDATES.c.stopped).where(self._of(task))
        return await self._read(lambda connection: any(connection.scalars(query)))

    async def attempt(self, task: Task, *, plan: Any, attempt: int) -> None:
        """Keeps what the next request to the server is, before it is made."""
        await self._set(task, plan=plan, attempt=attempt)

    async def answer(self, task: Task, parts: Iterable[str], **changes: Any) -> None:
        """Keeps the messages of an answer, and what changes in the chat with it; see `ChatSettings`."""

        def work(connection: Connection) -> None:
            connection.execute(update(UPDATES).where(self._first(task)).values(parts=list(parts), sent=0))
            if changes:
                chat_rows.change(connection, self._bot, task.chat, changes)

        await self._store.awrite(work)

    async def sent(self, task: Task, count: int) -> None:
        """Keeps that Telegram has taken so many parts of an answer."""
        await self._set(task, sent=count)

    async def done(self, task: Task) -> None:
        """Keeps that a task is over, and nothing of its texts."""
        values: dict[str, Any] = {"done": time.time(), "text": None, "parts": None, "plan": None}
        if task.kind == "command" and task.command[0] == "forget":
            values |= chat_rows.NOBODY
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
        """How a chat is replied to."""
        return await self._read(chat_rows.settings_of, self._bot, chat)

    async def change(self, chat: int, **values: Any) -> None:
        """Changes a chat; see `ChatSettings`."""
        await self._write(chat_rows.change, self._bot, chat, values)

    async def begin_conversation(self, chat: int, conversation: str) -> None:
        """Keeps that a chat goes on in another conversation, which does not know its settings yet."""
        await self._write(chat_rows.begin_conversation, self._bot, chat, conversation)

    async def conversations(self, chat: int) -> list[str]:
        """All conversations of a chat that the server may have."""
        query = select(CONVERSATIONS.c.conversation).where(chat_rows.of_chat(CONVERSATIONS, self._bot, chat))
        return await self._read(lambda connection: list(connection.scalars(query)))

    async def move(self, chat: int, to: int) -> None:
        """Keeps that Telegram has given a chat another id."""
        await self._write(chat_rows.move, self._bot, chat, to)

    async def forget(self, task: Task, parts: Iterable[str]) -> None:
        """Deletes what is known of a chat, but for messages that are to be answered yet; the last words are `parts`."""

        def work(connection: Connection) -> None:
            chat_rows.forget(connection, self._bot, task.chat)
            connection.execute(update(UPDATES).where(self._first(task)).values(parts=list(parts), sent=0))

        await self._store.awrite(work)

    async def clean(self) -> None:
        """Sees to it that what was deleted is in no file."""
        await self._store.clean()

    # Rows

    @property
    def _me(self) -> ColumnElement[bool]:
        return BOTS.c.bot == self._bot

    def _open(self, chat: int) -> ColumnElement[bool]:
        return and_(chat_rows.of_chat(UPDATES, self._bot, chat), UPDATES.c.done.is_(None))

    def _first(self, task: Task) -> ColumnElement[bool]:
        return and_(UPDATES.c.bot == self._bot, UPDATES.c.update == task.update)

    def _of(self, task: Task) -> ColumnElement[bool]:
        return and_(UPDATES.c.bot == self._bot, UPDATES.c.first == task.update, UPDATES.c.done.is_(None))

    async def _read(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self._store.aread(work, *arguments)

    async def _write(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self._store.awrite(work, *arguments)


def _values(asked: Asked | None) -> dict[str, Any]:
    """The row of an update."""
    now = time.time()
    values: dict[str, Any] = {"received": now, "attempt": 0, "sent": 0, "stopped": False, "group": False}
    if asked is None or not asked.to_do:
        return values | {"done": now}
    values |= {"chat": asked.chat, "kind": asked.kind, "text": asked.text, "group": asked.group}
    return values | {"message": asked.message, "thread": asked.thread}


def _together(rows: Sequence[Row[Any]], characters: int) -> list[Row[Any]]:
    """The first rows that make one task."""
    found: list[Row[Any]] = []
    length = 0
    for row in rows:
        length += len(row.text or "") + 1
        alone = (
            row.kind == "command" or row.group
        )  # in a group each is replied to by itself: they are of several people
        if found and (alone or row.kind != found[0].kind or length > characters):
            break
        found.append(row)
    return found


def _task(rows: Sequence[Row[Any]]) -> Task:
    first, last = rows[0], rows[-1]
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

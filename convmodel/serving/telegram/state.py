"""Database tables of the bot's state, and operations on chats and their settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from convmodel.serving.store import Store
from convmodel.serving.store.tables import Json

P = ParamSpec("P")
T = TypeVar("T")

METADATA = sa.MetaData()

BOTS = sa.Table(
    "telegram_bots",
    METADATA,
    sa.Column("bot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("next", sa.BigInteger),  # the offset of the next getUpdates; NULL before the first
)

CHATS = sa.Table(
    "telegram_chats",
    METADATA,
    sa.Column("bot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("chat", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("conversation", sa.String(64)),  # current conversation; NULL before the first turn and after /reset
    sa.Column("persona", Json),
    sa.Column("preset", sa.String(200)),
    sa.Column("options", Json, nullable=False, default=dict),
    # Whether persona, preset and options were sent to the conversation.
    sa.Column("told", sa.Boolean, key="settings_sent", nullable=False, default=True),
    sa.Column("left", sa.Boolean, nullable=False, default=False),  # whether the bot may not write to the chat
)

CONVERSATIONS = sa.Table(
    "telegram_conversations",
    METADATA,
    sa.Column("bot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("conversation", sa.String(64), primary_key=True),
    sa.Column("chat", sa.BigInteger, nullable=False),
    sa.Index("telegram_conversations_of_a_chat", "bot", "chat"),
)
"""All conversations of a chat on the server, current and earlier; /forget deletes them."""

UPDATES = sa.Table(
    "telegram_updates",
    METADATA,
    # Order of arrival. SQLite autoincrements only columns of type INTEGER, which has 64 bits there.
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("bot", sa.BigInteger, nullable=False),
    sa.Column("update", sa.BigInteger, nullable=False),
    sa.Column("chat", sa.BigInteger),  # NULL for an update without a request, and after /forget
    sa.Column("kind", sa.String(16)),
    sa.Column("text", sa.Text),  # NULL when the task is done
    sa.Column("message", sa.BigInteger),
    sa.Column("thread", sa.BigInteger),
    sa.Column("group", sa.Boolean, nullable=False, default=False),
    sa.Column("received", sa.Float, nullable=False),  # seconds since 1970
    sa.Column("first", sa.BigInteger),  # first update of the task, possibly this one; NULL while the update waits
    sa.Column("attempt", sa.Integer, nullable=False, default=0),  # number of the current request to the server
    sa.Column("plan", Json),  # details of the current request to the server; NULL for the first request
    sa.Column("stopped", sa.Boolean, nullable=False, default=False),  # whether the user has stopped the reply
    sa.Column("parts", Json),  # messages of the answer; NULL before they are known, and when all are sent
    sa.Column("sent", sa.Integer, nullable=False, default=0),  # number of parts that Telegram has accepted
    sa.Column("done", sa.Float),  # seconds since 1970; NULL while the task is open
    sa.UniqueConstraint("bot", "update", name="telegram_updates_once"),
    sa.Index("telegram_updates_to_do", "bot", "chat", "done"),
)

NOBODY = {"chat": None, "message": None, "thread": None, "kind": None}
"""Values of the columns that identify a chat, with which an update is anonymized."""


@dataclass(frozen=True)
class ChatSettings:
    """The conversation of a chat, and the settings of its replies.

    Args:
        conversation: id of the current conversation on the server; None before the first turn and after /reset.
        persona: sentences about the replying side; None uses the server's persona.
        preset: name of the preset; None uses the server's default preset, and "off" uses no preset.
        options: decoding options that override the preset.
        settings_sent: whether persona, preset and options were sent to the conversation on the server.
        left: whether the bot is not allowed to write to the chat.
    """

    conversation: str | None = None
    persona: tuple[str, ...] | None = None
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    settings_sent: bool = True
    left: bool = False


class BotState:
    """Access to a bot's tables in a store.

    The operations are functions of a connection with an open transaction, the id of the bot, and further arguments;
    they are in this module and in `task_queue`.

    Args:
        store: the store.
        bot: Telegram's id of the bot.
    """

    def __init__(self, store: Store, *, bot: int) -> None:
        self.bot = bot
        self.store = store

    async def read(
        self, operation: Callable[Concatenate[sa.Connection, int, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a read-only operation, and return its result."""
        return await self.store.aread(lambda connection: operation(connection, self.bot, *args, **kwargs))

    async def write(
        self, operation: Callable[Concatenate[sa.Connection, int, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run an operation in a transaction that is committed to disk, and return its result."""
        return await self.store.awrite(lambda connection: operation(connection, self.bot, *args, **kwargs))


def of_chat(table: sa.Table, bot: int, chat: int) -> sa.ColumnElement[bool]:
    """Return the SQL condition that selects the rows of a chat in a table."""
    return sa.and_(table.c.bot == bot, table.c.chat == chat)


def chat_settings(connection: sa.Connection, bot: int, chat: int) -> ChatSettings:
    """Return the settings of a chat; the defaults for an unknown chat."""
    row = connection.execute(sa.select(CHATS).where(of_chat(CHATS, bot, chat))).one_or_none()
    if row is None:
        return ChatSettings()
    persona = None if row.persona is None else tuple(row.persona)
    return ChatSettings(row.conversation, persona, row.preset, dict(row.options), row.settings_sent, row.left)


def change_chat(connection: sa.Connection, bot: int, /, chat: int, **values: Any) -> None:
    """Change fields of the `ChatSettings` of a chat."""
    if not connection.execute(sa.update(CHATS).where(of_chat(CHATS, bot, chat)).values(values)).rowcount:
        connection.execute(sa.insert(CHATS).values(bot=bot, chat=chat, **values))


def begin_conversation(connection: sa.Connection, bot: int, chat: int, conversation: str) -> None:
    """Make a new conversation the current conversation of a chat; the chat's settings are not sent to it yet."""
    connection.execute(sa.insert(CONVERSATIONS).values(bot=bot, conversation=conversation, chat=chat))
    change_chat(connection, bot, chat, conversation=conversation, settings_sent=False)


def conversations(connection: sa.Connection, bot: int, chat: int) -> list[str]:
    """Return the ids of all conversations of a chat that may exist on the server."""
    query = sa.select(CONVERSATIONS.c.conversation).where(of_chat(CONVERSATIONS, bot, chat))
    return list(connection.scalars(query))


def move_chat(connection: sa.Connection, bot: int, chat: int, to: int) -> None:
    """Change the id of a chat; Telegram does this when a group becomes a supergroup.

    If the new id has settings already, they are kept, and the settings of the old id are deleted.
    """
    old = of_chat(CHATS, bot, chat)
    exists = connection.execute(sa.select(CHATS).where(of_chat(CHATS, bot, to))).one_or_none() is not None
    connection.execute(sa.delete(CHATS).where(old) if exists else sa.update(CHATS).where(old).values(chat=to))
    for table in (CONVERSATIONS, UPDATES):
        connection.execute(sa.update(table).where(of_chat(table, bot, chat)).values(chat=to))


def forget_chat(connection: sa.Connection, bot: int, chat: int) -> None:
    """Delete the settings and conversation ids of a chat, and anonymize its finished updates; keep open updates."""
    for table in (CHATS, CONVERSATIONS):
        connection.execute(sa.delete(table).where(of_chat(table, bot, chat)))
    past = sa.and_(of_chat(UPDATES, bot, chat), UPDATES.c.done.is_not(None))
    connection.execute(sa.update(UPDATES).where(past).values(NOBODY))

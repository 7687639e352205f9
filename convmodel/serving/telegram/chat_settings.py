"""Database rows of chats and their settings; the functions take a connection in a transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, delete, insert, select, update

from convmodel.serving.telegram.tables import CHATS, CONVERSATIONS, UPDATES

NOBODY = {"chat": None, "message": None, "thread": None, "kind": None}
"""Columns that anonymize an update."""


@dataclass(frozen=True)
class ChatSettings:
    """A chat and the settings of its replies.

    Args:
        conversation: conversation id on the server; None before the first turn.
        persona: sentences about the replying side; None uses the server's persona.
        preset: name of the preset; None uses the server's default preset, "off" none.
        options: decoding options that override the preset.
        told: whether the settings were sent to the conversation on the server.
        left: whether the bot is not allowed to write to the chat.
    """

    conversation: str | None = None
    persona: tuple[str, ...] | None = None
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    told: bool = True
    left: bool = False


def of_chat(table: Table, bot: int, chat: int) -> ColumnElement[bool]:
    """Return the condition that selects the rows of a chat."""
    return and_(table.c.bot == bot, table.c.chat == chat)


def row_of(connection: Connection, bot: int, chat: int) -> Row[Any] | None:
    """Return the row of a chat; None if there is none."""
    return connection.execute(select(CHATS).where(of_chat(CHATS, bot, chat))).one_or_none()


def settings_of(connection: Connection, bot: int, chat: int) -> ChatSettings:
    """Return the settings of a chat."""
    row = row_of(connection, bot, chat)
    if row is None:
        return ChatSettings()
    persona = None if row.persona is None else tuple(row.persona)
    return ChatSettings(row.conversation, persona, row.preset, dict(row.options), row.told, row.left)


def change(connection: Connection, bot: int, chat: int, values: Mapping[str, Any]) -> None:
    """Change some of the settings of a chat."""
    if connection.execute(update(CHATS).where(of_chat(CHATS, bot, chat)).values(values)).rowcount:
        return
    default: dict[str, Any] = {
        "conversation": None,
        "persona": None,
        "preset": None,
        "options": {},
        "told": True,
        "left": False,
    }
    connection.execute(insert(CHATS).values({"bot": bot, "chat": chat, **default, **values}))


def begin_conversation(connection: Connection, bot: int, chat: int, conversation: str) -> None:
    """Make a conversation, which does not have the chat's settings yet, the current one of the chat."""
    connection.execute(insert(CONVERSATIONS).values(bot=bot, conversation=conversation, chat=chat))
    change(connection, bot, chat, {"conversation": conversation, "told": False})


def move(connection: Connection, bot: int, chat: int, to: int) -> None:
    """Change the id of a chat, as Telegram does when a group becomes a supergroup."""
    old = of_chat(CHATS, bot, chat)
    exists = row_of(connection, bot, to) is not None
    connection.execute(delete(CHATS).where(old) if exists else update(CHATS).where(old).values(chat=to))
    for table in (CONVERSATIONS, UPDATES):
        connection.execute(update(table).where(of_chat(table, bot, chat)).values(chat=to))


def forget(connection: Connection, bot: int, chat: int) -> None:
    """Delete the data of a chat, except messages that are not answered yet."""
    for table in (CHATS, CONVERSATIONS):
        connection.execute(delete(table).where(of_chat(table, bot, chat)))
    past = and_(of_chat(UPDATES, bot, chat), UPDATES.c.done.is_not(None))
    connection.execute(update(UPDATES).where(past).values(NOBODY))

"""A connection and a chat in, its rows read or changed; part of the transactions of `state`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, delete, insert, select, update

from convmodel.serving.telegram.tables import CHATS, CONVERSATIONS, UPDATES

NOBODY = {"chat": None, "message": None, "thread": None, "kind": None}
"""What is left of an update of which nobody is to know whose it was."""


@dataclass(frozen=True)
class ChatSettings:
    """A chat and how it is replied to.

    Args:
        conversation: id on the server, or None before the first turn.
        persona: sentences about the one who replies; None is the server's.
        preset: None is the server's usual one, "off" none at all.
        told: whether the conversation knows the settings.
        left: whether the bot may not write there.
    """

    conversation: str | None = None
    persona: tuple[str, ...] | None = None
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    told: bool = True
    left: bool = False


def of_chat(table: Table, bot: int, chat: int) -> ColumnElement[bool]:
    """The rows of a chat."""
    return and_(table.c.bot == bot, table.c.chat == chat)


def row_of(connection: Connection, bot: int, chat: int) -> Row[Any] | None:
    """The row of a chat, if there is one yet."""
    return connection.execute(select(CHATS).where(of_chat(CHATS, bot, chat))).one_or_none()


def settings_of(connection: Connection, bot: int, chat: int) -> ChatSettings:
    """How a chat is replied to."""
    row = row_of(connection, bot, chat)
    if row is None:
        return ChatSettings()
    persona = None if row.persona is None else tuple(row.persona)
    return ChatSettings(row.conversation, persona, row.preset, dict(row.options), row.told, row.left)


def change(connection: Connection, bot: int, chat: int, values: Mapping[str, Any]) -> None:
    """Changes some of the settings of a chat."""
    if connection.execute(update(CHATS).where(of_chat(CHATS, bot, chat)).values(values)).rowcount:
        return
    usual: dict[str, Any] = {
        "conversation": None,
        "persona": None,
        "preset": None,
        "options": {},
        "told": True,
        "left": False,
    }
    connection.execute(insert(CHATS).values({"bot": bot, "chat": chat, **usual, **values}))


def begin_conversation(connection: Connection, bot: int, chat: int, conversation: str) -> None:
    """Has a chat go on in a conversation that does not know its settings yet."""
    connection.execute(insert(CONVERSATIONS).values(bot=bot, conversation=conversation, chat=chat))
    change(connection, bot, chat, {"conversation": conversation, "told": False})


def move(connection: Connection, bot: int, chat: int, to: int) -> None:
    """Gives a chat another id, as Telegram does when a group becomes a supergroup."""
    mine = of_chat(CHATS, bot, chat)
    known = row_of(connection, bot, to) is not None
    connection.execute(delete(CHATS).where(mine) if known else update(CHATS).where(mine).values(chat=to))
    for table in (CONVERSATIONS, UPDATES):
        connection.execute(update(table).where(of_chat(table, bot, chat)).values(chat=to))


def forget(connection: Connection, bot: int, chat: int) -> None:
    """Deletes what is known of a chat, but for what is to be answered yet."""
    for table in (CHATS, CONVERSATIONS):
        connection.execute(delete(table).where(of_chat(table, bot, chat)))
    past = and_(of_chat(UPDATES, bot, chat), UPDATES.c.done.is_not(None))
    connection.execute(update(UPDATES).where(past).values(NOBODY))

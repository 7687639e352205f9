"""The tables of the bot: names and types of columns; no work."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from convmodel.serving.store.tables import Json

METADATA = MetaData()

_Counter = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts only what it calls INTEGER, of 64 bits too."""

BOTS = Table(
    "telegram_bots",
    METADATA,
    Column("bot", BigInteger, primary_key=True, autoincrement=False),
    Column("next", BigInteger),  # the offset of the next getUpdates; NULL before the first
)

CHATS = Table(
    "telegram_chats",
    METADATA,
    Column("bot", BigInteger, primary_key=True, autoincrement=False),
    Column("chat", BigInteger, primary_key=True, autoincrement=False),
    Column("conversation", String(64)),  # that goes on; NULL before the first turn and after /reset
    Column("persona", Json),
    Column("preset", String(200)),
    Column("options", Json, nullable=False),
    Column("told", Boolean, nullable=False),  # whether the conversation knows persona, preset and options
    Column("left", Boolean, nullable=False),  # whether the bot may not write there
)

CONVERSATIONS = Table(
    "telegram_conversations",
    METADATA,
    Column("bot", BigInteger, primary_key=True, autoincrement=False),
    Column("conversation", String(64), primary_key=True),
    Column("chat", BigInteger, nullable=False),
    Index("telegram_conversations_of_a_chat", "bot", "chat"),
)
"""All of a chat that the server keeps, for /forget."""

UPDATES = Table(
    "telegram_updates",
    METADATA,
    Column("number", _Counter, primary_key=True),  # in the order of arrival
    Column("bot", BigInteger, nullable=False),
    Column("update", BigInteger, nullable=False),
    Column("chat", BigInteger),  # NULL where nothing was asked, or /forget forgot it
    Column("kind", String(16)),
    Column("text", Text),  # NULL when it is done
    Column("message", BigInteger),
    Column("thread", BigInteger),
    Column("group", Boolean, nullable=False),
    Column("received", Float, nullable=False),  # seconds since 1970
    Column("first", BigInteger),  # the update with which it was joined to one turn, itself too; NULL while it waits
    Column("attempt", Integer, nullable=False),  # of the request to the server
    Column("plan", Json),  # what the request of this attempt is; NULL for the first
    Column("stopped", Boolean, nullable=False),  # whether the person wanted the reply to end
    Column("parts", Json),  # messages that answer; NULL before they are known, and when all are sent
    Column("sent", Integer, nullable=False),  # how many of them Telegram has taken
    Column("done", Float),  # seconds since 1970; NULL before
    UniqueConstraint("bot", "update", name="telegram_updates_once"),
    Index("telegram_updates_to_do", "bot", "chat", "done"),
)

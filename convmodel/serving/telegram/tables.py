"""Table definitions of the bot's state."""

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
"""SQLite autoincrements only columns of type INTEGER, which has 64 bits there."""

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
    Column("conversation", String(64)),  # current conversation; NULL before the first turn and after /reset
    Column("persona", Json),
    Column("preset", String(200)),
    Column("options", Json, nullable=False),
    Column("told", Boolean, nullable=False),  # whether persona, preset and options were sent to the conversation
    Column("left", Boolean, nullable=False),  # whether the bot may not write to the chat
)

CONVERSATIONS = Table(
    "telegram_conversations",
    METADATA,
    Column("bot", BigInteger, primary_key=True, autoincrement=False),
    Column("conversation", String(64), primary_key=True),
    Column("chat", BigInteger, nullable=False),
    Index("telegram_conversations_of_a_chat", "bot", "chat"),
)
"""All conversations of a chat on the server, for /forget."""

UPDATES = Table(
    "telegram_updates",
    METADATA,
    Column("number", _Counter, primary_key=True),  # order of arrival
    Column("bot", BigInteger, nullable=False),
    Column("update", BigInteger, nullable=False),
    Column("chat", BigInteger),  # NULL for an update without a request, and after /forget
    Column("kind", String(16)),
    Column("text", Text),  # NULL when the task is done
    Column("message", BigInteger),
    Column("thread", BigInteger),
    Column("group", Boolean, nullable=False),
    Column("received", Float, nullable=False),  # seconds since 1970
    Column("first", BigInteger),  # first update of the task, possibly this one; NULL while the update waits
    Column("attempt", Integer, nullable=False),  # number of the current request to the server
    Column("plan", Json),  # details of the request of this attempt; NULL for the first
    Column("stopped", Boolean, nullable=False),  # whether the user has stopped the reply
    Column("parts", Json),  # messages of the answer; NULL before they are known, and when all are sent
    Column("sent", Integer, nullable=False),  # number of parts that Telegram has accepted
    Column("done", Float),  # seconds since 1970; NULL while the task is open
    UniqueConstraint("bot", "update", name="telegram_updates_once"),
    Index("telegram_updates_to_do", "bot", "chat", "done"),
)

"""Opening of a store's database, and creation of its tables."""

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from convmodel.data.atomic import check_file_writable
from convmodel.errors import install_command
from convmodel.serving.store.errors import StoreError
from convmodel.serving.store.tables import CONVERSATIONS, METADATA, SCHEMA, VERSION

EXAMPLES = "use sqlite:///convmodel.db or postgresql+psycopg://user:password@host/database"

BUSY_SECONDS = 10
"""Seconds to wait for another process that writes to the same SQLite file."""

KEEPALIVE = {
    **{"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3},
    "tcp_user_timeout": 30_000,
}
"""Settings of libpq that detect an unreachable PostgreSQL server within a minute.

Times are in seconds, but `tcp_user_timeout` is in milliseconds.
"""

_POOL: dict[str, Any] = {"pool_size": 8, "max_overflow": 0, "hide_parameters": True}
_LOCK = 0x636F6E76
"""Key of the PostgreSQL advisory lock that guards the creation of tables ("conv" in ASCII)."""


def open_engine(address: str) -> Engine:
    """Open the database of a store, create missing tables, and upgrade tables of an older version.

    Args:
        address: sqlite:///file, a path of a SQLite file, or postgresql+psycopg://...

    Raises:
        StoreError: for an invalid address, a missing folder, a file that is not a SQLite database, tables of an
            unsupported version, or a database that does not answer.
    """
    url = parse_address(address)
    shown = url.render_as_string(hide_password=True)
    engine = _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url, shown)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            _make_tables(connection, shown)
    except (DBAPIError, sqlite3.Error) as error:
        engine.dispose()
        raise StoreError(f"{shown}: cannot be used as a store: {reason(error)}") from None
    except StoreError:
        engine.dispose()
        raise
    return engine


def reason(error: BaseException) -> str:
    """Return the first line of the database's error message, without the SQL statement and its parameters."""
    message = str(getattr(error, "orig", None) or error).strip()
    return message.splitlines()[0] if message else type(error).__name__


def parse_address(address: str) -> URL:
    """Parse the address of a store; an address without a scheme is the path of a SQLite file.

    Raises:
        StoreError: for an invalid address, or a database other than a SQLite file or PostgreSQL.
    """
    if "://" not in address and address.strip():
        address = f"sqlite:///{address}"
    try:
        url = make_url(address)
    except ArgumentError:
        raise StoreError(f"the address of the store cannot be parsed; {EXAMPLES}") from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise StoreError(f"unsupported database {url.drivername}; {EXAMPLES}")
    if url.drivername == "sqlite" and (url.database in (None, "", ":memory:") or url.query):
        raise StoreError(f"a store must be a file; {EXAMPLES}")
    return url


def _sqlite(url: URL) -> Engine:
    assert url.database is not None
    _check_file(Path(url.database))
    engine = create_engine(url, **_POOL, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _: object) -> None:
        # Transactions are begun explicitly in `_begin`, since the driver by itself begins none before a read.
        connection.isolation_level = None
        for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {setting}").fetchall()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _check_file(path: Path) -> None:
    try:
        check_file_writable(path)  # also checks the folder: SQLite writes its companion files there
    except (ValueError, OSError) as error:
        raise StoreError(str(error)) from None
    try:
        # Create the file with mode 0600 before SQLite creates it; SQLite's companion files inherit the mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with path.open("rb") as file:
            header = file.read(16)
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error.strerror}") from None
    if header and header != b"SQLite format 3\0":
        raise StoreError(f"{path}: is not a SQLite database; give another file, or a new name")


def _postgresql(url: URL, shown: str) -> Engine:
    defaults = {name: value for name, value in KEEPALIVE.items() if name not in url.query}
    try:
        return create_engine(url, **_POOL, pool_pre_ping=True, connect_args=defaults)
    except ModuleNotFoundError:
        raise StoreError(f"{shown}: needs psycopg; {install_command('postgres')}") from None


def _make_tables(connection: Connection, shown: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if not inspect(connection).has_table(SCHEMA.name):
        METADATA.create_all(connection)
        connection.execute(SCHEMA.insert().values(version=VERSION))
        return
    version = connection.execute(select(SCHEMA.c.version)).scalar_one_or_none()
    if version == 1:  # without the column `model`
        connection.execute(text(f"ALTER TABLE {CONVERSATIONS.name} ADD COLUMN model TEXT"))
        connection.execute(SCHEMA.update().values(version=VERSION))
    elif version != VERSION:
        raise StoreError(
            f"{shown}: its tables have version {version}, and this convmodel supports up to version {VERSION}; "
            "use the convmodel release that created it, or a newer one"
        )

"""Stores for tests: a file each in SQLite, a database each in a PostgreSQL server that is started for them."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


def has_postgres() -> bool:
    """Return whether a server can be started here."""
    return shutil.which("initdb") is not None and shutil.which("postgres") is not None


@contextmanager
def postgres() -> Iterator[str]:
    """Start a server in a folder of its own, with a socket in it alone; yield the folder.

    It refuses to run as root: root starts it as nobody.
    """
    user = [] if os.getuid() else ["runuser", "-u", "nobody", "--"]
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        if user:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        data = str(folder / "data")
        made = ["initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([*user, *made], cwd=folder, check=True, capture_output=True)
        options = f"-k {folder} -h '' -F -c max_connections=60"
        control = [*user, "pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options]
        subprocess.run([*control, "start"], cwd=folder, check=True, capture_output=True)
        try:
            yield str(folder)
        finally:
            subprocess.run([*control, "stop", "-m", "immediate"], cwd=folder, check=True, capture_output=True)
    finally:
        shutil.rmtree(folder)


def new_database(folder: str) -> str:
    """Create a database; return its address."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(host=folder, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"postgresql+psycopg://postgres@/{name}?host={folder}"

"""`clean`: list and remove caches, histories and stores of the package."""

import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from convmodel.cli.command import Command
from convmodel.data.atomic import process_lock
from convmodel.data.user_folders import cache_folder, chat_history

STORES = {"convmodel.db": "server", "telegram.db": "bot"}
"""Default names of stores in the current folder, by the process that uses them."""

USERS = ("server", "bot")
"""Processes that may use a store; each holds a lock on a file beside it."""


@dataclass(frozen=True)
class Leftover:
    """Files that the package has written.

    Args:
        title: description for the user.
        paths: files and folders; all of them exist.
        store: path of the database if the item is a store, which a running server may be using.
    """

    title: str
    paths: tuple[Path, ...]
    store: Path | None = None

    @property
    def size(self) -> int:
        """Total size in bytes."""
        return sum(map(_size, self.paths))


def _size(path: Path) -> int:
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(file.lstat().st_size for file in inside if not file.is_dir())


def find_items() -> Iterator[Leftover]:
    """Yield the items in the default locations and in the current folder."""
    if (cache := cache_folder()).is_dir():
        yield Leftover("cached tokens and vocabularies; made again when they are needed", (cache,))
    if (history := chat_history()).is_file():
        yield Leftover("what was typed in the chat", (history,))
    for name, user in STORES.items():
        if (store := Path(name)).is_file():
            paths = (store, *filter(Path.exists, (Path(f"{name}{ending}") for ending in ("-wal", "-shm"))))
            yield Leftover(f"conversations and keys of the {user} in this folder", paths, store)


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="list what would be removed, and remove nothing")
    parser.add_argument("--yes", action="store_true", help="remove everything listed without asking")


def _run(options: Namespace) -> int:
    items = list(find_items())
    for item in items:
        print(f"{item.paths[0]}: {item.title} ({format_size(item.size)})")
    if not items:
        print("nothing to remove")
    if options.dry_run:
        return 0
    for item in items:
        if options.yes or _confirm(item):
            _remove(item)
            print(f"{item.paths[0]}: removed")
    return 0


def format_size(size: int) -> str:
    """Return a number of bytes with a unit: `812 bytes`, `3.4 MB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"


def _confirm(item: Leftover) -> bool:
    """Ask whether to remove an item. Raises ValueError if nobody can answer."""
    if not sys.stdin.isatty():
        raise ValueError("clean asks before it removes anything, and the input is not a terminal; give --yes")
    return input(f"remove {item.paths[0]}? [y/N] ").strip().lower() in ("y", "yes")


def _remove(item: Leftover) -> None:
    """Remove the files of an item. Raises ValueError if a running server or bot uses the store."""
    lock_files = [Path(f"{item.store}.{user}") for user in USERS] if item.store is not None else []
    with ExitStack() as locks:
        for file in lock_files:
            busy = f"{item.store}: a {file.suffix[1:]} uses it ({{holder}}); stop it first"
            locks.enter_context(process_lock(file, busy=busy))
        for path in item.paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    for file in lock_files:
        file.unlink(missing_ok=True)


COMMAND = Command(
    name="clean",
    help="list and remove caches, the chat's history and stores",
    description="Lists the cache, the history of the chat, and the stores of a server and a bot in the current folder "
    "with their sizes, and removes each of them after a question. Models, runs (lightning_logs) and reports stay.",
    add_options=_add_options,
    run=_run,
    examples=["--dry-run", "--yes"],
)

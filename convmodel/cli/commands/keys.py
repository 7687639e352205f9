"""`keys`: create, list and revoke API keys of a server."""

import sys
from argparse import SUPPRESS, ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from convmodel.cli.command import Command
from convmodel.errors import require_extra

if TYPE_CHECKING:
    from convmodel.serving.store import Store


def _add_options(parser: ArgumentParser) -> None:
    _add_store(parser, "sqlite:///convmodel.db")
    actions = parser.add_subparsers(dest="action", required=True, metavar="add | list | remove")
    add = actions.add_parser("add", help="create a key", description="Creates a key and shows it once.")
    add.add_argument("name", help="name of the key; a new key of the same name has access to the same conversations")
    list_ = actions.add_parser("list", help="list the keys by name", description="Lists the names of the keys.")
    remove = actions.add_parser("remove", help="revoke a key", description="Revokes a key; its conversations stay.")
    remove.add_argument("name", help="name of the key")
    for action in (add, list_, remove):  # --store is accepted before and after the action
        _add_store(action, SUPPRESS)


def _add_store(parser: ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--store",
        metavar="URL",
        default=default,
        help="database of the server: a file, or postgresql+psycopg://... (default: sqlite:///convmodel.db)",
    )


def _run(options: Namespace) -> int:
    with require_extra("serve", ["sqlalchemy"], needing="keys need"):
        from convmodel.serving.store import Store
    with Store(options.store) as store:
        return {"add": _add, "list": _list, "remove": _remove}[options.action](store, options)


def _add(store: "Store", options: Namespace) -> int:
    from convmodel.serving.store import keys

    print(store.write(keys.add, options.name))
    print(f"This key of {options.name} cannot be shown again: only its hash is kept.", file=sys.stderr)
    return 0


def _list(store: "Store", _: Namespace) -> int:
    from convmodel.serving.store import keys

    listed = store.read(keys.listing)
    for name, created in listed.items():
        print(f"{name}\tsince {datetime.fromtimestamp(created / 1e6, UTC):%Y-%m-%d}")
    if not listed:
        print("there are no keys; python -m convmodel keys add NAME creates one", file=sys.stderr)
    return 0


def _remove(store: "Store", options: Namespace) -> int:
    from convmodel.serving.store import keys

    if not store.write(keys.remove, options.name):
        known = ", ".join(store.read(keys.listing)) or "none"
        raise ValueError(f"there is no key named {options.name!r}; there are: {known}")
    print(f"The key of {options.name} is revoked; a running server notices within seconds.")
    return 0


COMMAND = Command(
    name="keys",
    help="create, list and revoke the API keys of a server",
    description="Keys give access to a server that other machines can reach. Each key has its own conversations.",
    add_options=_add_options,
    run=_run,
)

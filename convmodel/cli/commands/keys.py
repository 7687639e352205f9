"""`keys`: create, list and revoke API keys of a server."""

import sys
from argparse import SUPPRESS, ArgumentParser, Namespace
from datetime import UTC, datetime

from convmodel.cli.command import Command
from convmodel.errors import require_extra


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
    text = "database of the server: a file, or postgresql+psycopg://... (default: sqlite:///convmodel.db)"
    parser.add_argument("--store", metavar="URL", default=default, help=text)


def _run(options: Namespace) -> int:
    with require_extra("serve", ["sqlalchemy"], needing="keys need"):
        from convmodel.serving.store import Store, keys
    with Store(options.store) as store:
        names = store.read(keys.listing)
        if options.action == "add":
            print(store.write(keys.add, options.name))
            print(f"This key of {options.name} cannot be shown again: only its hash is kept.", file=sys.stderr)
        elif options.action == "remove":
            if not store.write(keys.remove, options.name):
                known = ", ".join(names) or "none"
                raise ValueError(f"there is no key named {options.name!r}; there are: {known}")
            print(f"The key of {options.name} is revoked; a running server notices within seconds.")
        elif not names:
            print("there are no keys; python -m convmodel keys add NAME creates one", file=sys.stderr)
        else:
            for name, created in names.items():
                print(f"{name}\tsince {datetime.fromtimestamp(created / 1e6, UTC):%Y-%m-%d}")
    return 0


COMMAND = Command(
    name="keys",
    help="create, list and revoke the API keys of a server",
    description="Keys give access to a server that other machines can reach. Each key has its own conversations.",
    add_options=_add_options,
    run=_run,
    examples=["add alice", "list", "remove alice"],
)

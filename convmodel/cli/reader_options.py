"""Command-line options for reading files of conversations or documents."""

from argparse import ArgumentParser, Namespace, _ArgumentGroup
from typing import Any

from convmodel.data.options import COLUMN_ROLES, TALK_OPTIONS, OnError, ReadOptions

_READER = ("format", "columns", "encoding", "on_error", "max_line_bytes")


def add_reader_options(parser: ArgumentParser | _ArgumentGroup, *, on_error: OnError = "stop") -> None:
    """Add the options of readers to a command; `get_reader_options` returns their values.

    Args:
        on_error: the default of `--on-error`: "stop" or "skip" for lines that cannot be read.
    """
    add = parser.add_argument
    add("--format", help="the format of the file (default: recognised)")
    roles = ", ".join(COLUMN_ROLES)
    text = f"names of columns or keys, such as context=question,response=answer; roles: {roles}"
    add("--columns", metavar="ROLE=NAME,...", help=text)
    add("--encoding", help="the encoding of a file without a byte order mark (default: utf-8)")
    text = "action for a line that cannot be read (default: %(default)s)"
    add("--on-error", choices=("stop", "skip"), default=on_error, help=text)
    add("--max-line-bytes", type=int, metavar="BYTES", help="the longest allowed line or value (default: 16 MiB)")
    add("--me", metavar="NAME", help="in a chat export: the person as whom the model replies")
    add("--gap", metavar="TIME", help="in a chat export: the silence that ends a conversation (default: 6h)")
    add("--name-speakers", action="store_true", help="in a chat export: put names before the messages of the others")
    text = "in a chat export: replace phone numbers, mail addresses, links, card and account numbers"
    add("--mask", action="store_true", help=text)
    text = "in chat exports and lists of utterances: let conversations name who speaks, as JSON Lines with speakers do"
    add("--keep-speakers", action="store_true", help=text)


def get_reader_options(options: Namespace) -> ReadOptions:
    """Return the options of readers from parsed command-line options; missing ones keep their defaults."""
    values: dict[str, Any] = {name: getattr(options, name, None) or None for name in (*_READER, *TALK_OPTIONS)}
    if getattr(options, "max_line_bytes", None) == 0:
        values["max_line_bytes"] = 0  # so that ReadOptions rejects it instead of using the default
    return ReadOptions(**values)

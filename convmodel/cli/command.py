"""Definition of a command of `python -m convmodel`, and parsing of numbers on its command line."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace, _ActionsContainer
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from convmodel.data.options import OptionStyle, option_style

NumberT = TypeVar("NumberT")


@dataclass(frozen=True)
class Command:
    """A command of `python -m convmodel`. Its module imports nothing heavy before `run` is called.

    Args:
        help: its line in the list of commands.
        description: text above its options.
        run: returns the exit status. ValueError and OSError are reported in one line.
        options_of: the command whose options messages name: "index" where a command reads files without options for
            them, because an index of the same files can be given instead.
    """

    name: str
    help: str
    description: str
    add_options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
    options_of: OptionStyle = "command"

    def execute(self, options: Namespace) -> int:
        """Run the command; messages name options as the command line writes them."""
        with option_style(self.options_of):
            return self.run(options)


def number_parser(
    kind: Callable[[str], NumberT], is_allowed: Callable[[NumberT], bool], description: str
) -> Callable[[str], NumberT]:
    """Return a parser for argparse; `description` completes its error "'x' is not ..."."""

    def parse(text: str) -> NumberT:
        try:
            number = kind(text)
            if is_allowed(number):
                return number
        except (ValueError, OverflowError):
            pass
        raise ArgumentTypeError(f"{text!r} is not {description}")

    return parse


def add_repeatable(group: _ActionsContainer, name: str, metavar: str, help: str, **others: Any) -> None:
    """Add an option whose values are collected in a list; `others` are further arguments of `add_argument`."""
    group.add_argument(name, metavar=metavar, action="append", default=[], help=f"{help}; may be repeated", **others)


positive_int = number_parser(int, lambda number: number >= 1, "a whole number from 1")

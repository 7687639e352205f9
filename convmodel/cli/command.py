"""Definition of a command of `python -m convmodel`, and parsing of numbers on its command line."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace, _ActionsContainer
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from convmodel.data.options import OptionStyle, option_style

NumberT = TypeVar("NumberT")


@dataclass(frozen=True)
class Command:
    """A command of `python -m convmodel`. Large libraries are imported only when `run` is called.

    Args:
        help: its line in the list of commands.
        description: text above its options.
        run: runs the command and returns the exit status. Its ValueError and OSError are printed as one line.
        examples: arguments of typical calls, shown at the end of its help.
        common: names of the options that are shown first in its help; see `CommandParser`.
        options_of: the command whose options are named in error messages. "index" is for commands that read candidate
            files but have no options for reading them: the user can build an index of the files instead.
    """

    name: str
    help: str
    description: str
    add_options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
    examples: Sequence[str]
    common: Sequence[str] = ()
    options_of: OptionStyle = "command"

    def execute(self, options: Namespace) -> int:
        """Run the command, and return its exit status. Error messages name options in command-line syntax."""
        with option_style(self.options_of):
            return self.run(options)


def number_parser(
    kind: Callable[[str], NumberT], is_allowed: Callable[[NumberT], bool], description: str
) -> Callable[[str], NumberT]:
    """Return a function for the `type` of an argparse option that parses a number with `kind` and checks it.

    `description` completes the error message "'x' is not ...".
    """

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

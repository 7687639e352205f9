"""Parser of the command line: options with dashes or underscores, and one-line errors for unknown ones."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any, NoReturn

from convmodel.errors import suggest


class CommandParser(ArgumentParser):
    """A parser whose options are declared with dashes (`--num-replies`) and read with underscores too.

    The help ends with the examples, which are arguments of the program. Options must be written in full. An unknown
    option is an error of one line that names the most similar one.
    """

    def __init__(self, *, examples: Sequence[str] = (), **arguments: Any) -> None:
        super().__init__(allow_abbrev=False, **arguments)
        self._examples = examples

    def format_help(self) -> str:
        """Return the help with the examples at its end."""
        lines = "".join(f"  {self.prog} {example}\n" for example in self._examples)
        return f"{super().format_help()}\nexamples:\n{lines}" if lines else super().format_help()

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        """Parse arguments, by default those of `sys.argv`; exit with status 2 if an argument is unknown."""
        words = list(sys.argv[1:] if args is None else args)
        end = words.index("--") if "--" in words else len(words)
        words[:end] = map(self._with_dashes, words[:end])
        self._check_names(words[:end])
        parsed, unknown = super().parse_known_args(words, namespace)
        if unknown:
            self._refuse(unknown[0])
        return parsed, unknown

    def _with_dashes(self, word: str) -> str:
        name, equals, value = word.partition("=")
        dashed = name.replace("_", "-")
        return f"{dashed}{equals}{value}" if dashed in self._option_string_actions else word

    def _check_names(self, words: Iterable[str]) -> None:
        """Exit if an option is unknown, before argparse reports that required ones are missing."""
        if self._subparsers is not None:  # the options after a command's name belong to another parser
            words = takewhile(lambda word: word.startswith("-"), words)
        for word in words:
            name = word.partition("=")[0]
            is_option = name.startswith("--") and " " not in name  # as argparse decides it
            if is_option and name not in self._option_string_actions:
                self._refuse(word)

    def _refuse(self, word: str) -> NoReturn:
        name = word.partition("=")[0]
        listing = f"{self.prog} --help lists the options"
        if not name.startswith("-"):
            exit_with(f"{word}: is not an option, and no further value is expected here; {listing}")
        known = [option for option in self._option_string_actions if option.startswith("--")]
        exit_with(f"{name}: there is no such option; {suggest(name.replace('_', '-'), known, listing)}")


def exit_with(message: str) -> NoReturn:
    """Print `error: ...` to stderr and exit with status 2."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def check_command(name: str, known: Iterable[str]) -> None:
    """Exit with status 2 and the most similar command if there is no command of this name."""
    known = list(known)
    if name not in known:
        hint = suggest(name, known, f"the commands are {', '.join(known)}")
        exit_with(f"{name}: there is no such command; {hint}")

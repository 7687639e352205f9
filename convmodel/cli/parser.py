"""Parser of the command line: options with dashes or underscores, and one-line errors for unknown ones."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any, NoReturn

from convmodel.errors import suggest


class CommandParser(ArgumentParser):
    """A parser whose options are declared with dashes (`--num-replies`) and read with underscores too.

    The help begins with the common options and ends with the examples, which are arguments of the program. Options must
    be written in full. An unknown option is an error of one line that names the most similar one.

    Args:
        examples: arguments of typical calls.
        common: names of the options that most people need, in the order of the help. If there are any, the usage line
            does not list the options.
    """

    def __init__(self, *, examples: Sequence[str] = (), common: Sequence[str] = (), **arguments: Any) -> None:
        super().__init__(allow_abbrev=False, **arguments)
        self._examples = examples
        self._common = common
        if common:
            self.usage = "%(prog)s [OPTION ...]"

    def format_help(self) -> str:
        """Return the help with the common options at its beginning and the examples at its end."""
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        first = [self._option_string_actions[name] for name in self._common]
        rest = [
            (group.title, group.description, [action for action in group._group_actions if action not in first])
            for group in self._action_groups
        ]
        for title, description, actions in [("common options", None, first), *rest]:
            formatter.start_section(title)
            formatter.add_text(description)
            formatter.add_arguments(actions)
            formatter.end_section()
        formatter.add_text(self.epilog)
        lines = "".join(f"  {self.prog} {example}".rstrip() + "\n" for example in self._examples)
        return f"{formatter.format_help()}\nexamples:\n{lines}" if lines else formatter.format_help()

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

"""Definition of a command of `python -m convmodel`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass

from convmodel.data.options import option_style


@dataclass(frozen=True)
class Command:
    """A command of `python -m convmodel`. Its module imports nothing heavy before `run` is called.

    Args:
        name: name of the command.
        help: its line in the list of commands.
        description: text above its options.
        add_options: adds its options to its parser.
        run: runs the command with the parsed options and returns the exit status. ValueError and OSError are reported
            in one line.
    """

    name: str
    help: str
    description: str
    add_options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]

    def execute(self, options: Namespace) -> int:
        """Run the command; messages name options as the command line writes them."""
        with option_style("command"):
            return self.run(options)

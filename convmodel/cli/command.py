"""What a command consists of."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command of `python -m convmodel`. Its file imports nothing heavy before `run` is called.

    Args:
        name: what a person types.
        help: its line in the list of commands.
        description: what stands above its options.
        add_options: puts its options into its parser.
        run: parsed options in, exit status out. ValueErrors and OSErrors of ours are told in one line.
    """

    name: str
    help: str
    description: str
    add_options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]

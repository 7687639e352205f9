"""A command and its options in, the room that answers it out: `python -m convmodel`."""

import argparse
import sys

from convmodel.cli.commands import chat, convert, evaluate, generate, index, inspect, keys, mine, serve, telegram

COMMANDS = [
    *(chat.COMMAND, serve.COMMAND, keys.COMMAND, generate.COMMAND, index.COMMAND, evaluate.COMMAND),
    *(telegram.COMMAND, inspect.COMMAND, mine.COMMAND, convert.COMMAND),
]
"""In the order of the help; `train` stands before them and has a command line of its own."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one sub-command.

    Args:
        arguments: what stands after the program's name; `sys.argv` when left out.

    Returns:
        The exit status.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["train"]:
        from convmodel.trainer import main as train

        train(given[1:])
        return 0
    options = _parser().parse_args(given)
    from convmodel.errors import report_errors

    with report_errors():
        [command] = [command for command in COMMANDS if command.name == options.command]
        return command.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m convmodel", description="Turns conversations into models that talk."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("train", help="train a model; the same as python -m convmodel.trainer", add_help=False)
    for command in COMMANDS:
        command.add_options(commands.add_parser(command.name, help=command.help, description=command.description))
    return parser


if __name__ == "__main__":
    sys.exit(main())

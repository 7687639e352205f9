"""The command line of the package: `python -m convmodel`."""

import argparse
import sys

from convmodel.cli.commands import (
    chat,
    convert,
    convert_weights,
    corpus,
    evaluate,
    fuse,
    generate,
    index,
    inspect,
    keys,
    mine,
    serve,
    telegram,
)

COMMANDS = [
    *(chat.COMMAND, serve.COMMAND, keys.COMMAND, generate.COMMAND, index.COMMAND, evaluate.COMMAND),
    *(telegram.COMMAND, inspect.COMMAND, fuse.COMMAND, mine.COMMAND, convert.COMMAND, convert_weights.COMMAND),
    corpus.COMMAND,
]
"""The commands in the order of the help. `train` comes before them and parses its own options."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command, by default with the arguments of `sys.argv`, and return the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["train"]:
        from convmodel.trainer import main as train

        train(arguments[1:])
        return 0
    parser = argparse.ArgumentParser(
        prog="python -m convmodel", description="Turns conversations into models that talk."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("train", help="train a model; the same as python -m convmodel.trainer", add_help=False)
    for command in COMMANDS:
        command.add_options(
            commands.add_parser(command.name, help=command.help, description=command.description, allow_abbrev=False)
        )
    options = parser.parse_args(arguments)
    from convmodel.errors import report_errors

    with report_errors():
        [command] = [command for command in COMMANDS if command.name == options.command]
        return command.execute(options)


if __name__ == "__main__":
    sys.exit(main())

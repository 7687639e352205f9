"""The command line of the package: `python -m convmodel`."""

import sys

from convmodel import __version__
from convmodel.cli.command import Command
from convmodel.cli.commands import (
    chat,
    clean,
    convert,
    convert_weights,
    corpus,
    demo,
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
from convmodel.cli.parser import CommandParser, check_command

GROUPS: dict[str, list[Command]] = {
    "make a model": [],
    "talk to it": [demo.COMMAND, chat.COMMAND, serve.COMMAND, keys.COMMAND, telegram.COMMAND],
    "prepare data": [inspect.COMMAND, convert.COMMAND, corpus.COMMAND],
    "measure, and reply to files": [evaluate.COMMAND, generate.COMMAND],
    "select replies from a list": [index.COMMAND, fuse.COMMAND, mine.COMMAND],
    "models of others": [convert_weights.COMMAND],
    "tidy up": [clean.COMMAND],
}
"""The commands in the order of the help. `train`, the first one, has a command line of its own."""

COMMANDS = [command for commands in GROUPS.values() for command in commands]

PROGRAM = "python -m convmodel"
TRAIN = ("train", "train a model on files, with options chosen for them, or by a config")
EXAMPLES = """\
examples:
  python -m convmodel train --config config.yaml
  python -m convmodel chat --model model"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command, by default with the arguments of `sys.argv`, and return the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["train"]:
        from convmodel.trainer import main as train

        train(arguments[1:])
        return 0
    if arguments in ([], ["--help"], ["-h"]):
        print(overview())
        return 0
    if not arguments[0].startswith("-"):
        check_command(arguments[0], [TRAIN[0], *(command.name for command in COMMANDS)])
    options = make_parser().parse_args(arguments)
    from convmodel.errors import report_errors

    with report_errors():
        [command] = [command for command in COMMANDS if command.name == options.command]
        return command.execute(options)


def overview() -> str:
    """Return the list of the commands in groups, with examples."""
    lines = [f"usage: {PROGRAM} COMMAND [OPTION ...]", "", "Turns conversations into models that talk."]
    for title, commands in GROUPS.items():
        named = [(command.name, command.help) for command in commands]
        lines += ["", f"{title}:", *(f"  {name:<16} {help}" for name, help in named or [TRAIN])]
    lines += ["", EXAMPLES, "", f"{PROGRAM} COMMAND --help explains a command; --version prints the version"]
    return "\n".join(lines)


def make_parser() -> CommandParser:
    """Return the parser of all commands but `train`."""
    parser = CommandParser(prog=PROGRAM)
    parser.add_argument("--version", action="version", version=f"convmodel {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        inner = commands.add_parser(
            command.name,
            help=command.help,
            description=command.description,
            examples=command.examples,
            common=command.common,
        )
        command.add_options(inner)
    return parser


if __name__ == "__main__":
    sys.exit(main())

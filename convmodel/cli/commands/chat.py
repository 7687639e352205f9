"""`chat`: talk to a model in the terminal."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Container

from convmodel.cli import options as cli_options
from convmodel.cli.command import Command
from convmodel.cli.reader_options import add_reader_options, get_reader_options


def _add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    cli_options.add_responder_options(parser)
    add("--seed", type=int, metavar="N", help="makes a conversation repeatable (default: a random seed)")
    cli_options.add_speaker_option(parser)
    add("--load", metavar="FILE", help="continue the conversation of a file; FILE:3 is its third")
    add_reader_options(parser.add_argument_group("reading conversations (--load, /load)"))
    add("--quiet", action="store_true", help="no status, and in a pipe no notes")


def _run(options: Namespace) -> int:
    from convmodel.cli.chat.start import converse, open_screen

    screen = open_screen(quiet=options.quiet)  # report a missing library before loading a model
    try:
        with cli_options.open_responder(options) as responder:
            converse(
                responder,
                screen,
                title=cli_options.title(options),
                persona=options.persona,
                preset=resolve_preset(options, responder.presets),
                options=cli_options.own_options(options),
                seed=options.seed,
                speaker=options.speaker,
                load=options.load,
                read_options=get_reader_options(options),
                note=cli_options.describe_choices(options),
            )
        if not options.quiet and not sys.stdin.isatty():
            cli_options.print_choices(options)  # a pipe has no greeting
        return 0
    except KeyboardInterrupt:
        return 130


def resolve_preset(options: Namespace, presets: Container[str]) -> str | None:
    """Return the preset to use: `--preset`, or "balanced" if the user set no options."""
    if options.preset is not None:
        return None if options.preset == "off" else str(options.preset)
    return "balanced" if "balanced" in presets and not options.settings else None


COMMAND = Command(
    name="chat",
    help="talk to a model in the terminal, or through a pipe",
    description="Replies to typed turns; /help lists the commands. In a pipe each line is a turn and each reply "
    "is a line.",
    add_options=_add_options,
    run=_run,
    common=["--model", "--selector", "--candidates", "--persona", "--preset", "--set", "--seed", "--num-replies"],
    examples=[
        "--model model",
        "--model model --persona 'I have a dog.' --set temperature=0.7",
        "--selector selector --candidates replies.txt",
    ],
)

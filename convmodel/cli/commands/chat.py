"""A model and a person in, a conversation out."""

from argparse import ArgumentParser, Namespace
from collections.abc import Container

from convmodel.cli.command import Command
from convmodel.cli.responder_options import add_responder_options, choices, open_responder, own_options, title

USUAL = "balanced"


def _add_options(parser: ArgumentParser) -> None:
    add_responder_options(parser, preset=f"{USUAL} where nothing is set; off for the model's own options")
    parser.add_argument("--seed", type=int, metavar="N", help="repeats a conversation (default: a new one each time)")
    parser.add_argument("--load", metavar="FILE", help="go on with the conversation of a file; FILE:3 is its third")
    parser.add_argument("--quiet", action="store_true", help="no status, and in a pipe no notes")


def _run(options: Namespace) -> int:
    from convmodel.cli.chat.start import converse, open_screen

    screen = open_screen(quiet=options.quiet)  # a missing library is told before a model is loaded
    try:
        with open_responder(options) as responder:
            return converse(
                responder,
                screen,
                title=title(options),
                persona=options.persona,
                preset=preset_of(options, responder.presets),
                options=own_options(options),
                seed=options.seed,
                load=options.load,
                note=choices(options),
            )
    except KeyboardInterrupt:
        return 130


def preset_of(options: Namespace, presets: Container[str]) -> str | None:
    """Whoever sets nothing gets what repeats itself least."""
    if options.preset is not None:
        return None if options.preset == "off" else str(options.preset)
    return USUAL if USUAL in presets and not options.settings else None


COMMAND = Command(
    name="chat",
    help="talk to a model in the terminal, or through a pipe",
    description="Replies to what is typed; /help inside lists what else can be done. In a pipe each line is a turn and "
    "each reply a line.",
    add_options=_add_options,
    run=_run,
)

"""Conversations of any format in, JSON Lines out."""

from argparse import ArgumentParser, Namespace

from convmodel.cli.command import Command


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("source", help="a file, or hub://org/name?column=dialog&split=train")
    parser.add_argument("output", help="the JSON Lines file to write; gzipped when its name ends in .gz")
    parser.add_argument(
        "--on_error",
        choices=("stop", "skip"),
        default="stop",
        help="what to do with a line that is no conversation (default: stop)",
    )
    parser.add_argument(
        "--reverse",
        action="store_true",
        help="write each conversation from its end: a model trained on it says what was said before, which tells dull "
        "replies from fitting ones (docs/generation.md)",
    )


def _run(options: Namespace) -> int:
    from convmodel.data.conversation import Conversation, ConversationReader, write_conversations

    reader = ConversationReader(options.source, on_error=options.on_error)
    reverse = Conversation.reversed if options.reverse else None
    written = write_conversations(map(reverse, reader) if reverse else reader, options.output)
    print(reader.report.summary())
    print(f"{options.output}: {written:,} conversations written")
    return 0


COMMAND = Command(
    name="convert",
    help="read conversations of any format and write them as JSON Lines",
    description="Reads JSON Lines, ParlAI text, FbDialog, CSV, TSV, any of them gzipped, or a Hub data set.",
    add_options=_add_options,
    run=_run,
)

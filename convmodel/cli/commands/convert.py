"""`convert`: convert conversations of any format to JSON Lines."""

from argparse import ArgumentParser, Namespace

from convmodel.cli.command import Command


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("source", help="a file, or hub://org/name?column=dialog&split=train")
    parser.add_argument("output", help="the JSON Lines file to write; gzipped when its name ends in .gz")
    parser.add_argument(
        "--on_error", choices=("stop", "skip"), default="stop", help="what to do with an invalid line (default: stop)"
    )
    parser.add_argument(
        "--reverse",
        action="store_true",
        help="write each conversation in reverse order: a model trained on it predicts the previous turn, which "
        "helps to tell specific replies from generic ones (docs/generation.md)",
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
    help="convert conversations of any format to JSON Lines",
    description="Reads JSON Lines, ParlAI text, FbDialog, CSV, TSV, any of them gzipped, or a Hub data set.",
    add_options=_add_options,
    run=_run,
)

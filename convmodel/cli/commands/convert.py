"""`convert`: convert conversations of any format to JSON Lines."""

import sys
from argparse import ArgumentParser, Namespace

from convmodel.cli.command import Command
from convmodel.cli.reader_options import add_reader_options, get_reader_options
from convmodel.cli.standard_streams import STANDARD, input_path, output_path


def _add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    text = "files, folders, globs in quotes, hub://org/name?column=dialog&split=train, or - for standard input"
    add("source", nargs="+", help=text)
    text = "the JSON Lines file to write, gzipped when its name ends in .gz, or - for standard output"
    add("output", help=text)
    add_reader_options(parser)
    text = (
        "write each conversation in reverse order: a model trained on it predicts the previous turn, which "
        "helps to tell specific replies from generic ones (docs/generation.md)"
    )
    add("--reverse", action="store_true", help=text)


def _run(options: Namespace) -> int:
    from convmodel.data.conversation import Conversation, ConversationReader, write_conversations
    from convmodel.data.reader import format_count

    if STANDARD in options.source and len(options.source) > 1:
        raise ValueError(f"{STANDARD}: the standard input cannot be read together with files; write it to a file first")
    with input_path(options.source[0]) as first, output_path(options.output) as output:
        reader = ConversationReader([first, *options.source[1:]], get_reader_options(options), named=True)
        reverse = Conversation.reversed if options.reverse else None
        written = write_conversations(map(reverse, reader) if reverse else reader, output)
        summary = reader.report.summary().replace(first, options.source[0])
    account = sys.stderr if options.output == STANDARD else sys.stdout
    print(summary, file=account)
    print(f"{options.output}: {format_count(written, 'conversation')} written", file=account)
    return 0


COMMAND = Command(
    name="convert",
    help="convert conversations of any format to JSON Lines",
    description="Reads JSON Lines, JSON, tables, Parquet, research sets, people's chats (WhatsApp, Telegram, "
    "Messenger, Discord, Slack, Signal, iMessage, ChatGPT, Claude), packed or not, and Hub data sets; "
    "docs/conversation-files.md.",
    add_options=_add_options,
    run=_run,
    examples=[
        "'WhatsApp Chat.txt' chats.jsonl --me Ida",
        "data.csv data.jsonl.gz --columns context=question,response=answer",
    ],
)

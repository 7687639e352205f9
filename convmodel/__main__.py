"""A command and its options in, the room that answers it out: `python -m convmodel`."""

import argparse
import sys


def main(arguments: list[str] | None = None) -> int:
    """Runs one sub-command.

    Args:
        arguments: what stands after the program's name; `sys.argv` when left out.

    Returns:
        The exit status.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["train"]:  # the trainer has a command line of its own
        from convmodel.trainer import main as train

        train(given[1:])
        return 0
    options = _parser().parse_args(given)
    from convmodel.errors import told_in_one_line

    with told_in_one_line():
        return _convert(options.source, options.output, options.on_error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m convmodel", description="Turns conversations into models that talk."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("train", help="train a model; the same as python -m convmodel.trainer", add_help=False)
    convert = commands.add_parser(
        "convert",
        help="read conversations of any format and write them as JSON Lines",
        description="Reads JSON Lines, ParlAI text, FbDialog, CSV, TSV, any of them gzipped, or a Hub data set.",
    )
    convert.add_argument("source", help="a file, or hub://org/name?column=dialog&split=train")
    convert.add_argument("output", help="the JSON Lines file to write; gzipped when its name ends in .gz")
    convert.add_argument(
        "--on_error",
        choices=("stop", "skip"),
        default="stop",
        help="what to do with a line that is no conversation (default: stop)",
    )
    return parser


def _convert(source: str, output: str, on_error: str) -> int:
    from convmodel.conversation import ConversationReader, write_conversations

    reader = ConversationReader(source, on_error=on_error)  # type: ignore[arg-type]
    written = write_conversations(reader, output)
    print(reader.report.summary())
    print(f"{output}: {written:,} conversations written")
    return 0


if __name__ == "__main__":
    sys.exit(main())

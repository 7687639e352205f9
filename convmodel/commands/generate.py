"""A model and a file of conversations in, a file of replies out."""

import sys
from argparse import ArgumentParser, Namespace

from convmodel.commands.base import Command
from convmodel.commands.responder_options import (
    add_responder_options,
    count,
    open_responder,
    own_options,
    title,
    writer_name,
)


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--input", required=True, metavar="FILE", help="conversations of any format, or hub://...")
    parser.add_argument("--output", required=True, metavar="FILE", help="the JSON Lines file to write")
    parser.add_argument("--format", help="of the input (default: recognised)")
    parser.add_argument(
        "--on_error",
        choices=("stop", "skip"),
        default="stop",
        help="what to do with a line that cannot be read or replied to (default: stop)",
    )
    parser.add_argument(
        "--last",
        action="store_true",
        help="reply in place of the last turn, which is kept as gold (default: reply to the whole conversation)",
    )
    parser.add_argument("--overwrite", action="store_true", help="start over, whatever is there")
    parser.add_argument(
        "--concurrency", type=count, default=64, metavar="N", help="replies asked for at a time (default: 64)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the replies repeat with it (default: 0)")
    add_responder_options(parser, preset="none, the model's own options")


def _run(options: Namespace) -> int:
    from convmodel.bulk.job import Job
    from convmodel.bulk.progress import progress_bar
    from convmodel.bulk.replying import reply_to_file
    from convmodel.settings import preset_options

    try:
        with open_responder(options) as responder:
            job = Job(
                input=options.input,
                output=options.output,
                model=title(options),
                format=options.format,
                on_error=options.on_error,
                last=options.last,
                persona=tuple(options.persona),
                options={**preset_options(responder.presets, options.preset), **own_options(options)},
                seed=options.seed,
                concurrency=options.concurrency,
                overwrite=options.overwrite,
            )
            result = reply_to_file(responder, job, digest=_digest(options), show=progress_bar)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(result.read)
    print(result.summary(options.output))
    return 0


def _digest(options: Namespace) -> str:
    """A digest of everything that replies."""
    from convmodel.bulk.job import files_digest, folder_digest

    found = [f"{folder_digest(writer_name(options) or 'none')} {options.dtype}"]
    if options.selector is not None or options.reranker is not None:
        given = options.index or options.candidates
        found += [folder_digest(options.selector or "none"), "none" if given is None else files_digest(given)]
        found.append(folder_digest(options.reranker or "selector"))
    return " ".join(found)


COMMAND = Command(
    name="generate",
    help="write replies for a file of conversations",
    description="Writes a line for each conversation: its turns and the reply to them. After a kill the same command "
    "goes on where it was.",
    add_options=_add_options,
    run=_run,
)

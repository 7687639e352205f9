"""A model and a file of conversations or prompts in, a file of replies or texts out."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from convmodel.cli.command import Command
from convmodel.cli.responder_options import (
    add_responder_options,
    count,
    open_responder,
    own_options,
    print_choices,
    title,
    writer_name,
)

if TYPE_CHECKING:
    from convmodel.cli.bulk.runner import Result

OF_REPLIES = ("last", "persona", "selector", "index", "candidates", "reranker", "num_candidates")
"""Options that a model of documents refuses."""


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--input", required=True, metavar="FILE", help="conversations of any format, or prompts; or hub://..."
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="the JSON Lines file to write")
    parser.add_argument(
        "--as", dest="kind", choices=("documents",), help="what a plain GPT-2 writes: documents (default: replies)"
    )
    parser.add_argument("--format", help="of the input (default: recognised)")
    parser.add_argument(
        "--on_error",
        choices=("stop", "skip"),
        default="stop",
        help="what to do with a line that cannot be read or followed (default: stop)",
    )
    parser.add_argument(
        "--last",
        action="store_true",
        help="reply in place of the last turn, which is kept as gold (default: reply to the whole conversation)",
    )
    parser.add_argument("--overwrite", action="store_true", help="start over, whatever is there")
    parser.add_argument("--concurrency", type=count, default=64, metavar="N", help="asked for at a time (default: 64)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="what is written repeats with it (default: 0)")
    add_responder_options(parser, preset="none, the model's own options")


def _run(options: Namespace) -> int:
    try:
        result = _write_documents(options) if _of_documents(options) else _reply(options)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print_choices(options)
    print(result.input_summary)
    print(result.summary(options.output))
    return 0


def _reply(options: Namespace) -> "Result":
    from convmodel.cli.bulk.progress import progress_bar
    from convmodel.cli.bulk.replies import ReplyFileJob, reply_to_file

    with open_responder(options) as responder:
        job = ReplyFileJob(
            last=options.last, persona=tuple(options.persona), **_same(options, title(options), responder.presets)
        )
        return reply_to_file(responder, job, digest=_digest(options), show=progress_bar)


def _write_documents(options: Namespace) -> "Result":
    from convmodel.cli.bulk.documents import DocumentFileJob, write_to_file
    from convmodel.cli.bulk.job import folder_digest
    from convmodel.cli.bulk.progress import progress_bar
    from convmodel.responders.document_writer import DocumentWriter

    name = str(writer_name(options))
    for option in OF_REPLIES:
        if getattr(options, option):
            raise ValueError(f"--{option} means nothing for a model that writes documents ({name}); leave it out")
    with DocumentWriter.from_pretrained(name, device=options.device, dtype=options.dtype) as writer:
        job = DocumentFileJob(**_same(options, name, writer.presets))
        digest = f"{folder_digest(name)} {options.dtype} documents"
        return write_to_file(writer, job, digest=digest, show=partial(progress_bar, unit="prompts"))


def _same(options: Namespace, model: str, presets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a job says whatever is written."""
    from convmodel.responders.option_values import preset_options

    return {
        "input": options.input,
        "output": options.output,
        "model": model,
        "format": options.format,
        "on_error": options.on_error,
        "options": {**preset_options(presets, options.preset), **own_options(options)},
        "seed": options.seed,
        "concurrency": options.concurrency,
        "overwrite": options.overwrite,
    }


def _of_documents(options: Namespace) -> bool:
    """Whether the model writes documents."""
    from convmodel.models.folder import DOCUMENT_FILE, has_file

    name = writer_name(options)
    return options.kind is not None or (name is not None and has_file(name, DOCUMENT_FILE))


def _digest(options: Namespace) -> str:
    """A digest of everything that replies."""
    from convmodel.cli.bulk.job import files_digest, folder_digest

    found = [f"{folder_digest(writer_name(options) or 'none')} {options.dtype}"]
    if options.selector is not None or options.reranker is not None:
        given = options.index or options.candidates
        found += [folder_digest(options.selector or "none"), "none" if given is None else files_digest(given)]
        found.append(folder_digest(options.reranker or "selector"))
    return " ".join(found)


COMMAND = Command(
    name="generate",
    help="write replies for a file of conversations, or texts for a file of prompts",
    description="Writes a line for each conversation: its turns and the reply to them. A model that writes documents "
    '(document.json) goes on with prompts: JSON Lines {"prompt": ..., "meta": ...}, of which either may be missing, or '
    "text, one prompt a line. After a kill the same command goes on where it was.",
    add_options=_add_options,
    run=_run,
)

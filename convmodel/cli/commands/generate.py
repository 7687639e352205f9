"""`generate`: write replies to a file of conversations, or documents for a file of prompts."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convmodel.cli import options as cli_options
from convmodel.cli.command import Command, positive_int
from convmodel.cli.reader_options import add_reader_options, get_reader_options
from convmodel.data.options import name_flag

if TYPE_CHECKING:
    from convmodel.cli.bulk.runner import Result

REPLY_OPTIONS = ("last", "speaker", "persona", "selector", "index", "candidates", "reranker", "num_candidates")
"""Options that a document model rejects."""


def _add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    text = "conversations of any format, or prompts: files, folders, or hub://..."
    add("--input", required=True, nargs="+", metavar="FILE", help=text)
    add("--output", required=True, metavar="FILE", help="the JSON Lines file to write")
    add("--as", dest="kind", choices=("documents",), help="the output of a plain GPT-2: documents (default: replies)")
    text = "reply instead of the last turn, which is kept as gold (default: reply to the whole conversation)"
    add("--last", action="store_true", help=text)
    cli_options.add_speaker_option(parser)
    add("--overwrite", action="store_true", help="start over if there is an output")
    add("--concurrency", type=positive_int, default=64, metavar="N", help="requests at a time (default: 64)")
    add("--seed", type=int, default=0, metavar="N", help="makes the output repeatable (default: 0)")
    add_reader_options(parser.add_argument_group("reading the input"))
    cli_options.add_responder_options(parser, preset="none: the model's own options")


def _run(options: Namespace) -> int:
    from convmodel.cli.bulk.journal import check_output
    from convmodel.models.folder import DOCUMENT_FILE, has_file

    check_output(Path(options.output))  # before the models are loaded
    name = cli_options.writer_name(options)
    writes_documents = options.kind is not None or (name is not None and has_file(name, DOCUMENT_FILE))
    try:
        result = _write_documents(options) if writes_documents else _reply(options)
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        return 130
    cli_options.print_choices(options)
    print(result.input_summary)
    print(result.summary(options.output))
    return 0


def _reply(options: Namespace) -> "Result":
    from convmodel.cli.bulk.job import ReplyJob
    from convmodel.cli.bulk.runner import run_job

    with cli_options.open_responder(options) as responder:
        settings = _settings(options, responder.presets, model=cli_options.title(options), digest=_digest(options))
        persona = tuple(options.persona)
        return run_job(ReplyJob(responder, last=options.last, persona=persona, speaker=options.speaker, **settings))


def _write_documents(options: Namespace) -> "Result":
    from convmodel.cli.bulk.job import DocumentJob
    from convmodel.cli.bulk.runner import run_job
    from convmodel.responders.writer import DocumentWriter

    name = str(cli_options.writer_name(options))
    for option in REPLY_OPTIONS:
        if getattr(options, option):
            raise ValueError(f"{name_flag(option)} does not apply to a document model ({name}); leave it out")
    digest = f"{_writer_digest(options)} documents"
    parts = {part: getattr(options, part) for part in ("base", "device", "dtype")}
    with DocumentWriter.from_pretrained(name, **parts) as writer:
        return run_job(DocumentJob(writer, **_settings(options, writer.presets, model=name, digest=digest)))


def _settings(options: Namespace, presets: Mapping[str, Mapping[str, Any]], **names: str) -> dict[str, Any]:
    """Return the settings that reply and document jobs share; `names` are the arguments `model` and `digest`."""
    from convmodel.responders.typed_input import preset_options

    same = ("input", "output", "seed", "concurrency", "overwrite")
    decoding = {**preset_options(presets, options.preset), **cli_options.own_options(options)}
    return {name: getattr(options, name) for name in same} | {
        "read_options": get_reader_options(options),
        "options": decoding,
        **names,
    }


def _writer_digest(options: Namespace) -> str:
    return f"{_model_digest(cli_options.writer_name(options) or 'none', options.base)} {options.dtype}"


def _model_digest(name: str, base: str | None = None) -> str:
    """Return a digest of a model and, if it is an adapter, of its base models."""
    from convmodel.cli.bulk.job import folder_digest
    from convmodel.models.adapter_source import base_name

    under = base or base_name(name)
    return f"{folder_digest(name)} {_model_digest(under)}" if under else folder_digest(name)


def _digest(options: Namespace) -> str:
    """Return a digest of all models and candidates."""
    from convmodel.cli.bulk.job import files_digest, folder_digest

    digests = [_writer_digest(options)]
    if options.reasoning:
        digests.append("reasoning")
    if options.selector is not None or options.reranker is not None:
        candidates = options.index or options.candidates
        digests.append(folder_digest(options.selector or "none"))
        digests.append("none" if candidates is None else files_digest(candidates))
        digests.append(folder_digest(options.reranker or "selector"))
        digests.append("" if options.fusion else "no fusion")
    return " ".join(digests)


COMMAND = Command(
    name="generate",
    help="write replies to a file of conversations, or documents for a file of prompts",
    description="Writes a line for each conversation: its turns and the reply. A document model (document.json) "
    'continues prompts: JSON Lines {"prompt": ..., "meta": ...} with either field optional, or text with one prompt '
    "per line. After an interruption the same command continues.",
    add_options=_add_options,
    run=_run,
    examples=["--model model --input test.jsonl --last --output replies.jsonl"],
)

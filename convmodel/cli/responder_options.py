"""Options of a command line in, a Responder and how it is to reply out."""

import argparse
import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from convmodel.responders.option_values import parse_setting
from convmodel.responders.protocol import MAX_RUNNING, MAX_WAITING

if TYPE_CHECKING:
    from convmodel.models.devices import Work
    from convmodel.responders.chooser import Chooser
    from convmodel.responders.hybrid import Hybrid
    from convmodel.responders.loading import LoadedModels
    from convmodel.responders.writer import Writer


def add_responder_options(parser: ArgumentParser, *, preset: str) -> None:
    """What replies, and how; `preset` tells what is used without one."""
    model = parser.add_argument_group("what replies")
    model.add_argument(
        "--model", metavar="DIR", help="the folder of a model that writes (default: model, or none with --selector)"
    )
    model.add_argument(
        "--selector",
        metavar="DIR",
        help="a model that chooses, by folder; without candidates it ranks what is written",
    )
    given = model.add_mutually_exclusive_group()
    given.add_argument("--index", metavar="DIR", help="the candidates to choose from, as convmodel index made them")
    given.add_argument("--candidates", metavar="FILE", help="the candidates to choose from, one a line")
    model.add_argument(
        "--reranker",
        metavar="NAME",
        help="what ranks all replies: selector (default if there is one), likelihood, or the folder of another one",
    )
    model.add_argument("--device", help="cuda, cpu, ... (default: an accelerator where there is one)")
    model.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "int8"), help="default: auto")
    _add_decoding(parser, preset)


def _add_decoding(parser: ArgumentParser, preset: str) -> None:
    decoding = parser.add_argument_group("decoding")
    decoding.add_argument("--preset", metavar="NAME", help=f"a set of options that has a name (default: {preset})")
    decoding.add_argument(
        "--set",
        dest="settings",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=_setting,
        help="an option of transformers' generate, such as temperature=0.7, or of choosing; may be repeated",
    )
    decoding.add_argument(
        "--num_replies",
        type=count,
        metavar="N",
        help="write N replies and take the best, or N texts for each prompt (num_return_sequences; default: 1, or 4 "
        "where something is chosen)",
    )
    decoding.add_argument(
        "--num_candidates", type=count, metavar="N", help="choose N candidates and take the best (default: 10)"
    )
    decoding.add_argument(
        "--persona",
        metavar="TEXT",
        action="append",
        default=[],
        help="a sentence about the one who replies; may be repeated",
    )


def add_load_options(parser: ArgumentParser) -> None:
    """What is followed at once, for whoever serves many people; for `open_all`."""
    load = parser.add_argument_group("load")
    load.add_argument(
        "--documents",
        metavar="DIR",
        help="a model that writes documents, beside one that replies; --model may be one by itself",
    )
    for name, usual, told in (
        ("--max_running", MAX_RUNNING, "texts that are written at once"),
        ("--max_waiting", MAX_WAITING, "requests that may wait beside them"),
    ):
        load.add_argument(name, type=count, default=usual, metavar="N", help=f"{told} (default: {usual})")
    load.add_argument(
        "--max_kept",
        type=count,
        metavar="N",
        help="conversations that stay in memory as they were read (default: as many as are written at once)",
    )


def open_responder(options: Namespace) -> "Writer | Chooser | Hybrid":
    """Loads what the options name; it is a context manager."""
    from convmodel.responders import loading as opening

    return opening.open_responder(writer_name(options), **_parts(options))


def open_all(options: Namespace) -> "LoadedModels":
    """Loads what the options name, those of `add_load_options` too; it is a context manager."""
    from convmodel.responders import loading as opening

    return opening.load_all(
        writer_name(options),
        documents=options.documents,
        max_running=options.max_running,
        max_waiting=options.max_waiting,
        max_kept=options.max_kept,
        **_parts(options),
    )


def choices(options: Namespace, work: "Work | None" = None, *, dtype: str | None = None) -> str | None:
    """Return a line with what the machine decided and how to decide otherwise; None where it decided nothing.

    Args:
        options: with `device`, and `dtype` where the command has it.
        work: what the model is loaded for; by the models that reply, when left out.
        dtype: what a command without `--dtype` uses.
    """
    from convmodel.models.devices import describe_choice

    if work is None:
        work = "replying" if writer_name(options) or getattr(options, "documents", None) else "encoding"
    return describe_choice(options.device, dtype or options.dtype, work)


def print_choices(options: Namespace, work: "Work | None" = None, *, dtype: str | None = None) -> None:
    """Print the line of `choices` to stderr."""
    line = choices(options, work, dtype=dtype)
    if line is not None:
        print(line, file=sys.stderr, flush=True)


def _parts(options: Namespace) -> dict[str, Any]:
    names = ("selector", "index", "candidates", "reranker", "device", "dtype")
    return {name: getattr(options, name) for name in names}


def writer_name(options: Namespace) -> str | None:
    """The folder of the model that writes, if one does."""
    if options.model is not None:
        return str(options.model)
    others = (options.selector, getattr(options, "documents", None))
    return None if any(others) else "model"


def title(options: Namespace) -> str:
    """What replies, for a person."""
    documents = getattr(options, "documents", None)
    names = [writer_name(options), options.selector, options.index or options.candidates, documents]
    return " + ".join(str(name) for name in names if name is not None)


def own_options(options: Namespace) -> dict[str, Any]:
    """What stands on top of the model's own options and of a preset."""
    own = dict(options.settings)
    if options.num_replies is not None:
        own["num_return_sequences"] = options.num_replies
    if options.num_candidates is not None:
        own["num_candidates"] = options.num_candidates
    return own


def _setting(text: str) -> tuple[str, Any]:
    try:
        return parse_setting(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def count(text: str) -> int:
    """The type of an option that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)

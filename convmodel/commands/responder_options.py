"""Options of a command line in, a Responder and how it is to reply out."""

import argparse
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from convmodel.settings import parse_setting

if TYPE_CHECKING:
    from convmodel.chooser import Chooser
    from convmodel.hybrid import Hybrid
    from convmodel.writer import Writer


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
        "--num_chosen", type=count, metavar="N", help="choose N candidates and take the best (default: 10)"
    )
    decoding.add_argument(
        "--persona",
        metavar="TEXT",
        action="append",
        default=[],
        help="a sentence about the one who replies; may be repeated",
    )


def open_responder(options: Namespace) -> "Writer | Chooser | Hybrid":
    """Loads what the options name; it is a context manager."""
    from convmodel import opening

    return opening.open_responder(
        writer_name(options),
        selector=options.selector,
        index=options.index,
        candidates=options.candidates,
        reranker=options.reranker,
        device=options.device,
        dtype=options.dtype,
    )


def writer_name(options: Namespace) -> str | None:
    """The folder of the model that writes, if one does."""
    if options.model is not None:
        return str(options.model)
    return "model" if options.selector is None else None


def title(options: Namespace) -> str:
    """What replies, for a person."""
    names = [writer_name(options), options.selector, options.index or options.candidates]
    return " + ".join(str(name) for name in names if name is not None)


def own_options(options: Namespace) -> dict[str, Any]:
    """What stands on top of the model's own options and of a preset."""
    own = dict(options.settings)
    if options.num_replies is not None:
        own["num_return_sequences"] = options.num_replies
    if options.num_chosen is not None:
        own["num_chosen"] = options.num_chosen
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

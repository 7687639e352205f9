"""Options of a command line in, a Responder and how it is to decode out."""

import argparse
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from convmodel.settings import parse_setting

if TYPE_CHECKING:
    from convmodel.writer import Writer


def add_responder_options(parser: ArgumentParser, *, preset: str) -> None:
    """The model, and how it decodes; `preset` tells what is used without one."""
    model = parser.add_argument_group("model")
    model.add_argument("--model", default="model", metavar="DIR", help="the model's folder (default: model)")
    model.add_argument("--device", help="cuda, cpu, ... (default: an accelerator where there is one)")
    model.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "int8"), help="default: auto")
    decoding = parser.add_argument_group("decoding")
    decoding.add_argument("--preset", metavar="NAME", help=f"a set of options that has a name (default: {preset})")
    decoding.add_argument(
        "--set",
        dest="settings",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=_setting,
        help="an option of transformers' generate, such as temperature=0.7; may be repeated",
    )
    decoding.add_argument(
        "--candidates", type=count, metavar="N", help="write N replies and take the best (num_return_sequences)"
    )
    decoding.add_argument(
        "--persona",
        metavar="TEXT",
        action="append",
        default=[],
        help="a sentence about the one who replies; may be repeated",
    )


def open_responder(options: Namespace) -> "Writer":
    """Loads the model that the options name; it is a context manager."""
    from convmodel.writer import Writer

    return Writer.from_pretrained(options.model, device=options.device, dtype=options.dtype)


def own_options(options: Namespace) -> dict[str, Any]:
    """What stands on top of the model's own options and of a preset."""
    own = dict(options.settings)
    if options.candidates is not None:
        own["num_return_sequences"] = options.candidates
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

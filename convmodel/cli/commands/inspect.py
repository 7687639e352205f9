"""`inspect`: report problems of conversation files, and optionally fix them."""

import io
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any, cast

from convmodel.cli.command import Command
from convmodel.cli.options import add_base_option
from convmodel.cli.reader_options import add_reader_options, get_reader_options
from convmodel.errors import require_extra
from convmodel.reports.inspection.settings import NEAR, TOKENS_PER_BATCH, VOCABULARY, WINDOW, InspectionSettings

EXTRA = {"rich", "tqdm", "ftfy", "regex", "matplotlib", "jinja2"}
"""Libraries of the extra."""


def _add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="a file, a folder, a glob in quotes, or hub://org/name?column=dialog")
    learned = f"a vocabulary of {VOCABULARY:,} learned from the first file"
    add("--model", metavar="DIR", help=f"a model, for its tokenizer and window (default: {learned})")
    add_base_option(parser)
    text = f"tokens of a window (default: the model's; {WINDOW} without a model)"
    add("--max-length", "--n-positions", type=int, metavar="N", help=text)
    text = "tokens of a training batch, padding included (default: %(default)s)"
    add("--tokens-per-batch", type=int, default=TOKENS_PER_BATCH, metavar="N", help=text)
    text = (
        "minimum share of word bigrams that two near-duplicate conversations have in common; "
        "0.5 to 1 (default: %(default)s)"
    )
    add("--near", type=float, default=NEAR, metavar="SHARE", help=text)
    add("--html", metavar="FILE", help="write an HTML page with plots")
    add("--strict", action="store_true", help="exit with status 1 if there is a problem; remarks do not count")
    text = (
        "write the file without its problems; several files are written to the folder OUT, and of duplicates in "
        "several files the first file keeps its own"
    )
    add("--fix", metavar="OUT", help=text)
    add_reader_options(parser.add_argument_group("reading the files"), on_error="skip")


def _run(options: Namespace) -> int:
    with require_extra("inspect", EXTRA, needing="inspect needs"):  # here, so that --help is fast
        from rich.console import Console

        from convmodel.data.atomic import check_file_writable
        from convmodel.reports.inspection.fix import fix_files, output_paths
        from convmodel.reports.inspection.inspect import inspect_files
        from convmodel.reports.inspection.terminal import show

        if options.html is not None:  # matplotlib is slow to import
            from convmodel.reports.inspection.page import write_page
    settings = InspectionSettings(
        options.model, options.max_length, options.tokens_per_batch, options.near, options.base
    )
    read_options = get_reader_options(options)
    # Check the outputs first, so that an error does not cost the inspection.
    if options.html is not None:
        check_file_writable(options.html)
    if options.fix is not None:
        output_paths(options.files, options.fix)
    inspection = inspect_files(options.files, settings, read_options, progress=_progress)
    if isinstance(sys.stdout, io.TextIOWrapper):  # the data may have characters that the terminal cannot encode
        sys.stdout.reconfigure(errors="backslashreplace")
    show(inspection, Console(highlight=False))
    if options.html is not None:
        write_page(inspection, options.html)
        print(f"{options.html}: written")
    if options.fix is not None:
        for report in fix_files(inspection, options.fix, progress=_progress):
            print(*report.lines(), sep="\n")
    return 1 if options.strict and inspection.problems else 0


def _progress(desc: str) -> Callable[[int], object]:
    """Return a function that advances a progress bar, shown on a terminal."""
    from tqdm import tqdm

    bar: Any = tqdm(desc=desc, unit=" conversations", unit_scale=True, disable=None, leave=False, delay=1)
    return cast(Callable[[int], object], bar.update)


COMMAND = Command(
    name="inspect",
    help="check conversations before training on them",
    description="Counts, lengths, duplicates, broken and suspicious text, scripts, padding. See docs/inspect.md.",
    add_options=_add_options,
    run=_run,
    examples=["train.jsonl", "train.jsonl --fix clean.jsonl"],
)

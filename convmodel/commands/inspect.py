"""Conversation files in, what is wrong with them out: in the terminal, as HTML, as an exit status, and mended."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from convmodel.commands.base import Command


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file, or hub://org/name?column=dialog&split=train")
    parser.add_argument(
        "--model",
        metavar="DIR",
        help="a model whose tokenizer and window are used (default: a vocabulary of 2,048 learned from the first file)",
    )
    parser.add_argument(
        "--max_length",
        "--n_positions",
        type=int,
        metavar="N",
        help="tokens of a window (default: the model's; 256 without a model)",
    )
    parser.add_argument(
        "--tokens_per_batch", type=int, default=512, metavar="N", help="of training, padding included (default: 512)"
    )
    parser.add_argument(
        "--near",
        type=float,
        default=0.8,
        metavar="SHARE",
        help="of the pairs of neighbouring words that two conversations share: from here on they are nearly the same; "
        "0.5 to 1 (default: 0.8)",
    )
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures")
    parser.add_argument(
        "--strict", action="store_true", help="exit with status 1 when there is a problem; remarks pass"
    )
    parser.add_argument(
        "--fix",
        metavar="OUT",
        help="write the file without what is a problem; of several files, into the folder OUT, where the file named "
        "first keeps what several have",
    )


def _run(options: Namespace) -> int:
    try:
        from rich.console import Console
    except ImportError:
        raise ImportError('inspect needs the library rich; pip install "convmodel[inspect]"') from None
    from convmodel.inspection.fixing import fix_files, outputs
    from convmodel.inspection.report import Settings, inspect_files
    from convmodel.inspection.terminal import show

    settings = Settings(
        model=options.model,
        max_length=options.max_length,
        tokens_per_batch=options.tokens_per_batch,
        near=options.near,
    )
    if options.fix:
        outputs(options.files, options.fix)
    inspection = inspect_files(options.files, settings, progress=_progress)
    console = Console(highlight=False)
    show(inspection, console)
    if options.html:
        from convmodel.inspection.page import write_page

        write_page(inspection, options.html)
        print(f"{options.html}: written")
    if options.fix:
        for report in fix_files(inspection, options.fix, progress=_progress):
            print(*report.lines(), sep="\n")
    return 1 if options.strict and inspection.problems else 0


def _progress(what: str) -> Callable[[int], None]:
    """Counts conversations on a terminal, and is silent elsewhere."""
    from tqdm import tqdm

    bar = tqdm(desc=what, unit=" conversations", unit_scale=True, disable=not sys.stderr.isatty(), leave=False, delay=1)

    def more(number: int) -> None:
        bar.update(number)

    return more


COMMAND = Command(
    name="inspect",
    help="look at conversations before training on them",
    description="Counts, lengths, duplicates, broken and suspicious text, scripts, padding. See docs/inspect.md.",
    add_options=_add_options,
    run=_run,
)

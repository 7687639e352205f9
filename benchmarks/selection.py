"""Contexts and candidates in, by how much ours is quicker than its peers out: all rows of choosing a reply.

search      poly- and bi-encoder, the exact 10 best of 100,000 candidates      benchmarks/selection_search.py
cross       a GPT-2 that scores 100 candidates of a context                    benchmarks/selection_cross.py
convert     ConveRT encodes 20,000 turns                                       benchmarks/selection_convert.py
cached      memory and time of a training step of 512 pairs                    benchmarks/selection_training.py
training    examples per second of training a poly-encoder                     benchmarks/selection_loop.py
"""

import argparse
import logging
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from benchmarks import selection_convert, selection_cross, selection_loop, selection_search, selection_training
from benchmarks.common import (
    RATIO_COLUMNS,
    Ratio,
    add_common_options,
    add_data_option,
    described,
    limited_threads,
    machine,
    table,
    tell,
    write_report,
)

Found = tuple[dict[str, Any], list[Ratio], str]
"""What a part measured, what came of its claims, and its tables."""


def _search(options: argparse.Namespace) -> Found:
    measured = selection_search.measure(smoke=options.smoke, rounds=options.rounds, threads=options.threads)
    found = selection_search.ratios(measured, claimed=not options.smoke)
    return measured, found, selection_search.shown(measured, [])


def _cross(options: argparse.Namespace) -> Found:
    measured = selection_cross.measure(smoke=options.smoke, data=options.data, rounds=options.rounds)
    tables = [
        _seconds(f"GPT-2 {size}, {len(each['context_tokens'])} contexts", each["seconds"])
        for size, each in measured["sizes"].items()
    ]
    return measured, selection_cross.ratios(measured), "\n\n".join(tables)


def _convert(options: argparse.Namespace) -> Found:
    measured = selection_convert.measure(smoke=options.smoke, data=options.data, rounds=options.rounds)
    tables = _seconds(f"ConveRT, {measured['turns']:,} turns", measured["seconds"])
    return measured, selection_convert.ratios(measured), tables


def _cached(options: argparse.Namespace) -> Found:
    measured = selection_training.measure(smoke=options.smoke, data=options.data, rounds=options.rounds)
    return measured, selection_training.ratios(measured), selection_training.shown(measured)


def _training(options: argparse.Namespace) -> Found:
    measured = selection_loop.measure(smoke=options.smoke, data=options.data, rounds=options.rounds)
    return measured, selection_loop.ratios(measured), selection_loop.shown(measured)


PARTS: dict[str, Callable[[argparse.Namespace], Found]] = {
    "search": _search,
    "cross": _cross,
    "convert": _convert,
    "cached": _cached,
    "training": _training,
}


def _seconds(head: str, seconds: dict[str, list[float]]) -> str:
    rows = [[name, f"{statistics.median(runs):.2f} s", f"{min(runs):.2f} s"] for name, runs in seconds.items()]
    return table([head, "median", "least"], rows)


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[Ratio]]:
    """Measures the parts that were asked for, and shows the tables of each when it is done."""
    torch.set_num_threads(options.threads)
    measured: dict[str, Any] = {}
    ratios: list[Ratio] = []
    for name in options.only or PARTS:
        tell(f"part: {name}")
        before = os.getloadavg()[0]
        found, came, tables = PARTS[name](options)
        load = [round(before, 2), round(os.getloadavg()[0], 2)]
        measured[name] = {**found, "load_before_and_after": load}
        ratios += came
        print(f"{name}, load {load[0]} before and {load[1]} after\n\n{tables}\n", flush=True)
    return measured, ratios


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.selection", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_common_options(parser, name="selection", rounds=3)
    add_data_option(parser)
    parser.add_argument("--only", nargs="+", choices=PARTS, help="parts to run (default: all)")
    options = parser.parse_args(arguments)
    facts = machine(options.threads)
    with limited_threads(options.threads), _quiet():
        measured, ratios = run(options)
    print(described(facts), table(["", *RATIO_COLUMNS], [[each.name, *each.cells()] for each in ratios]), sep="\n\n")
    write_report(options.output, facts, ratios=ratios, measured=measured)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's messages about each new model."""
    logger = logging.getLogger("pytorch_lightning")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


if __name__ == "__main__":
    main()

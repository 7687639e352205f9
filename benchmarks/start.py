"""Commands in, the seconds a fresh Python takes for each out: ours beside importing the usual classes."""

import argparse
import statistics
import subprocess
import sys
import time
from functools import partial

from benchmarks.common import (
    RATIO_COLUMNS,
    ROOT,
    Ratio,
    add_common_options,
    described,
    interleave,
    limited_threads,
    machine,
    table,
    write_report,
)

PEER = ("-c", "from transformers import GPT2LMHeadModel, AutoTokenizer")
OURS = {
    "import convmodel": (("-c", "import convmodel"), 20.0),
    "python -m convmodel --help": (("-m", "convmodel", "--help"), 20.0),
    "python -m convmodel.trainer --help": (("-m", "convmodel.trainer", "--help"), 1.0),
}
PEER_NAME = "GPT2LMHeadModel, AutoTokenizer"


def seconds(arguments: tuple[str, ...]) -> float:
    """The time from starting a Python to its end.

    Raises:
        subprocess.CalledProcessError: when it fails.
    """
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - begin


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    add_common_options(parser, name="start", rounds=9)
    options = parser.parse_args(arguments)
    facts = machine(options.threads)
    commands = {name: command for name, (command, _) in OURS.items()} | {PEER_NAME: PEER}
    with limited_threads(options.threads):
        if not options.smoke:
            for command in commands.values():  # from now on files come from memory, not from the disk
                seconds(command)
        timers = {name: partial(seconds, command) for name, command in commands.items()}
        runs = interleave(timers, 1 if options.smoke else options.rounds)
    ratios = [
        Ratio.of(name, runs[PEER_NAME], runs[name], at_least=None if options.smoke else at_least)
        for name, (_, at_least) in OURS.items()
    ]
    medians = {name: f"{statistics.median(times) * 1000:,.0f} ms" for name, times in runs.items()}
    rows = [[r.name, medians[r.name], *r.cells()] for r in ratios]
    rows.append([f"peer: import {PEER_NAME}", medians[PEER_NAME], "", "", "", ""])
    print(described(facts), table(["a fresh Python", "median", *RATIO_COLUMNS], rows), sep="\n\n")
    write_report(options.output, facts, ratios=ratios, measured={"seconds": runs})


if __name__ == "__main__":
    main()

"""Measure `convmodel corpus reddit` on generated dumps: comments per second and peak memory, by workers and size."""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, add_common_options, described, machine, table, tell, write_report
from benchmarks.corpus_dump import write_dump

SIZES = (100_000, 1_000_000, 5_000_000)
PER_FILE = 250_000
"""Comments of a file of a dump."""

AT_LEAST = 50_000
"""Comments per second and core without a language filter."""

POLYAI = 1_635
"""Comments per second and vCPU of PolyAI's published run on Google Cloud Dataflow (arXiv:1904.06472's code)."""

RUN = """
import resource, sys
from convmodel.__main__ import main
main(sys.argv[1:])
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(sum(u.ru_utime + u.ru_stime for u in used), max(u.ru_maxrss for u in used))
"""
"""The command in a process that prints its CPU seconds and its peak of memory, those of its processes included."""


def make_dumps(folder: Path, count: int) -> str:
    """Write dumps with some comments in all, and return the pattern of their files."""
    for number, start in enumerate(range(0, count, PER_FILE)):
        write_dump(folder / f"RC_{number:03d}.zst", min(PER_FILE, count - start), seed=number)
    return str(folder / "*.zst")


def measure(pattern: str, count: int, options: list[str]) -> dict[str, float]:
    """Run the command in a fresh process; return its speed and time, and the peak of one of its processes in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["corpus", "reddit", "--input", pattern, "--output", f"{folder}/corpus", *options]
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", RUN, *command], cwd=ROOT, capture_output=True, text=True)
        seconds = time.perf_counter() - begin
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        cpu, peak = map(float, done.stdout.split()[-2:])
    speeds = {"comments per second": count / seconds, "comments per CPU second": count / cpu}
    return {**speeds, "seconds": seconds, "peak MiB of a process": peak / 1024}


def contenders(*, has_ray: bool) -> dict[str, list[str]]:
    """Return the options of each way to run the steps."""
    ways = {
        "1 process": ["--workers", "1"],
        "2 processes": ["--workers", "2"],
        "2 processes, language en": ["--workers", "2", "--language", "en", "--certainty", "0.01"],
        "2 processes, near-duplicates": ["--workers", "2", "--similarity", "0.8"],
    }
    return ways | ({"Ray, 2 processors": ["--ray"]} if has_ray else {})


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description=__doc__)
    add_common_options(parser, name="corpus", rounds=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="comments (default: %(default)s)")
    parser.add_argument("--ray", action="store_true", help="measure Ray too")
    options = parser.parse_args(arguments)
    facts = machine(options.threads)
    print(described(facts))
    sizes = [2_000] if options.smoke else options.sizes
    found: dict[str, Any] = {}
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder:
            tell(f"a dump of {count:,} comments")
            pattern = make_dumps(Path(folder), count)
            for name, given in contenders(has_ray=options.ray).items():
                if count == sizes[0] or (given[:1] == ["--workers"] and len(given) == 2):
                    tell(f"{count:,} comments, {name}")
                    found[f"{count:,} comments, {name}"] = measure(pattern, count, given)
    header = ["", "comments/s", "per CPU second", "seconds", "peak MiB of a process"]
    rows = [[name, *(f"{value:,.0f}" for value in each.values())] for name, each in found.items()]
    print("", table(header, rows), sep="\n")
    print(f"- PolyAI's published run: {POLYAI:,} comments/s and vCPU; at least {AT_LEAST:,} here")
    write_report(options.output, facts, ratios=[], measured=found)


if __name__ == "__main__":
    main()

"""A file of conversations in, useful tokens per second of training out: ours beside three other loops."""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.common import (
    RATIO_COLUMNS,
    ROOT,
    Ratio,
    add_common_options,
    add_data_option,
    conversation_files,
    described,
    interleave,
    limited_threads,
    machine,
    table,
    tell,
    write_report,
)
from benchmarks.contenders import run_contender
from benchmarks.job import Job

PEERS = {
    "plain": "the plain loop: 16 padded, fp32",
    "bare": "the bare loop: dense blocks in memory",
    "trl": "TRL's SFTTrainer, packing=True, wrapped in 256",
    "trl_default": "TRL's SFTTrainer, packing=True",
}
SIZES = ("n_layer", "n_embd", "n_head", "n_positions", "vocab_size", "dropout")
SMOKE: dict[str, Any] = {"vocab_size": 300, "n_layer": 1, "n_embd": 16, "n_head": 2, "seconds": 0.2}

Run = dict[str, Any]
Runner = Callable[[str, Job], Run]


def claims(flags: dict[str, bool]) -> dict[str, float]:
    """How much quicker than each peer ours has to be on a CPU with these flags."""
    return {"plain": 6.0 if flags["amx_tile"] else 1.7, "bare": 0.9, "trl": 1.2, "trl_default": 1.2}


def in_own_process(name: str, job: Job) -> Run:
    """Runs a contender in a fresh Python, so that its peak memory is its own.

    Raises:
        RuntimeError: with what it said, when it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "benchmarks.contenders", name, json.dumps(asdict(job)), str(report)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{name} failed:\n{done.stdout}{done.stderr}")
        found: Run = json.loads(report.read_text(encoding="utf-8"))
        return found


def tuned(run: Runner, name: str, job: Job, budgets: list[int]) -> tuple[Job, dict[int, float]]:
    """The job with the tokens per batch at which a contender is quickest, and all the speeds."""
    if len(budgets) == 1 or name == "plain":  # the plain loop counts conversations, not tokens
        return replace(job, tokens_per_batch=budgets[0]), {}
    speeds = {}
    for budget in budgets:
        speeds[budget] = run(name, replace(job, tokens_per_batch=budget))["tokens_per_second"]
        tell(f"{name} with {budget:,} tokens per batch: {speeds[budget]:,.0f} tokens/s")
    return replace(job, tokens_per_batch=max(speeds, key=speeds.__getitem__)), speeds


def contenders(smoke: bool) -> list[str]:
    """Ours and the peers that are installed."""
    if smoke:
        return ["ours", "plain", "bare"]
    if importlib.util.find_spec("trl") is None:
        tell("TRL is not installed and left out: pip install trl (pin your torch and transformers)")
        return ["ours", "plain", "bare"]
    return ["ours", *PEERS]


def measure(options: argparse.Namespace, folder: str) -> tuple[dict[str, list[Run]], dict[str, Any]]:
    """Prepares, checks equality, chooses each one's tokens per batch, and runs the rounds."""
    run = run_contender if options.smoke else in_own_process
    file = conversation_files(options.data, smoke=options.smoke)["train"].resolve()
    job = Job(folder, str(file), threads=options.threads, seconds=options.seconds)
    if options.smoke:
        job = replace(job, **SMOKE)
    tell("learning the vocabulary")
    prepared = run("prepare", job)
    losses = run("equality", job)
    tell(f"losses per token are equal: {losses['ours']:.6f} in ours, {losses['plain']:.6f} in the plain loop")
    budgets = options.tokens_per_batch[: 1 if options.smoke else None]
    jobs = {name: tuned(run, name, job, budgets) for name in contenders(options.smoke)}

    def timed(name: str) -> Callable[[], Run]:
        seeds = count(job.seed + 1)  # each round draws another order, the same for all
        return lambda: run(name, replace(jobs[name][0], seed=next(seeds)))

    runs = interleave({name: timed(name) for name in jobs}, 1 if options.smoke else options.rounds)
    facts = prepared | {
        "losses": losses,
        "sizes": {name: getattr(job, name) for name in SIZES},
        "tokens_per_batch": {name: found.tokens_per_batch for name, (found, _) in jobs.items()},
        "tokens_per_second_when_tried": {name: speeds for name, (_, speeds) in jobs.items() if speeds},
    }
    return runs, facts


def shown(runs: dict[str, list[Run]], facts: dict[str, Any], ratios: dict[str, Ratio]) -> str:
    """What was trained, and a row for each contender: speed, peak memory, and by how much ours is quicker."""
    rows = []
    for name, found in runs.items():
        speed = statistics.median(run["tokens_per_second"] for run in found)
        memory = max(run["peak_memory_mib"] for run in found)
        batch = "16 rows" if name == "plain" else f"{facts['tokens_per_batch'][name]:,}"
        cells = ratios[name].cells() if name in ratios else [""] * len(RATIO_COLUMNS)
        label, precision = PEERS.get(name, "ours"), found[0]["precision"]
        rows.append([label, precision, batch, f"{speed:,.0f}", f"{memory:,} MiB", *cells])
    sizes = ", ".join(f"{name} {value:g}" for name, value in facts["sizes"].items())
    lines = [f"GPT-2, {facts['parameters']:,} parameters: {sizes}"]
    if not facts["bf16"]:
        lines.append("This CPU is not quick at bfloat16: ours, the bare loop and TRL ran in fp32.")
    header = ["loop", "precision", "tokens/batch", "useful tokens/s", "peak memory", *RATIO_COLUMNS]
    return "\n".join([*lines, "", table(header, rows)])


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    add_common_options(parser, name="training", rounds=5)
    add_data_option(parser)
    parser.add_argument("--seconds", type=float, default=30.0, help="of timing in a round (default: 30)")
    parser.add_argument(
        "--tokens_per_batch",
        type=int,
        nargs="+",
        default=[1024, 2048, 4096],
        help="what is tried for ours, the bare loop and TRL, each of which then runs at its own quickest",
    )
    options = parser.parse_args(arguments)
    facts = machine(options.threads)
    with limited_threads(options.threads), tempfile.TemporaryDirectory() as folder:
        runs, found = measure(options, folder)
    speeds = {name: [run["tokens_per_second"] for run in done] for name, done in runs.items()}
    ratios = {
        name: Ratio.of(PEERS[name], speeds["ours"], speeds[name], at_least=None if options.smoke else at_least)
        for name, at_least in claims(facts["flags"]).items()
        if name in speeds
    }
    print(described(facts), shown(runs, found, ratios), sep="\n\n")
    write_report(options.output, facts, ratios=list(ratios.values()), measured={**found, "runs": runs})


if __name__ == "__main__":
    main()

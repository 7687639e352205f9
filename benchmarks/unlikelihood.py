"""States of 1,024 tokens in, time and memory of a loss and its gradients out: ours, the dense form, cross-entropy."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import (
    RATIO_COLUMNS,
    ROOT,
    Ratio,
    add_common_options,
    described,
    held_memory,
    interleave,
    limited_threads,
    machine,
    peak_memory,
    table,
    tell,
    write_report,
)

ALPHA = 1.0
PEERS = {"dense": "dense T x V form", "plain": "plain cross-entropy", "products": "the three products alone"}
FASTER = {"dense": None, "plain": 1 / 1.25}
"""By how much ours has to be quicker than each, from states to gradients."""

LOSS_FASTER = 4.0
"""And than the dense form in what is left when the three products are taken off, which make all of them slow alike."""

SMALLER = 1 / 0.4
"""How much more the plain cross-entropy has to hold."""


@dataclass(frozen=True)
class Job:
    """What every contender works on: one row of tokens whose frequencies fall as in texts (Zipf), random states.

    Args:
        tokens, width, vocabulary: T, D, V.
        repeats: steps that are timed after one that is not.
        threads: of torch.
        precision: "fp32"; "bf16", which is autocast as in training; or "fp64".
        seed: of tokens and states.
    """

    tokens: int = 1024
    width: int = 768
    vocabulary: int = 50257
    repeats: int = 3
    threads: int = 2
    precision: str = "fp32"
    seed: int = 1


SMOKE = Job(tokens=64, width=16, vocabulary=500, repeats=1)


# What runs in a process of its own; torch is imported there alone


def material(job: Job) -> tuple[Any, Any, Any]:
    """(T,) ids, (T, D) states and the (V, D) table, leaves that want gradients."""
    import torch

    source = torch.Generator().manual_seed(job.seed)
    frequency = 1 / torch.arange(1, job.vocabulary + 1, dtype=torch.float64)
    ids = torch.multinomial(frequency, job.tokens + 1, replacement=True, generator=source)
    exact = torch.float64 if job.precision == "fp64" else torch.float32
    states = torch.randn(job.tokens, job.width, generator=source).to(exact)
    weights = (torch.randn(job.vocabulary, job.width, generator=source) * 0.05).to(exact)
    return ids, states.requires_grad_(), weights.requires_grad_()


def ours(ids: Any, states: Any, weights: Any) -> Any:
    """What training calls."""
    import torch

    from convmodel.models.linear_cross_entropy import summed_loss
    from convmodel.training.unlikelihood import Unlikelihood, find_seen_tokens

    steps = torch.ones(1, len(states), dtype=torch.bool)
    seen = find_seen_tokens(ids[None, :-1], steps)
    return summed_loss(states, weights, Unlikelihood(ids[1:], seen, steps, ALPHA))


def dense(ids: Any, states: Any, weights: Any) -> Any:
    """The formula over all T x V probabilities."""
    import torch
    import torch.nn.functional as F

    logits = states @ weights.T
    read, wanted = ids[:-1], ids[1:]
    seen = read.expand(len(read), -1).masked_fill(torch.ones(len(read), len(read), dtype=torch.bool).triu(1), -1)
    candidates = torch.zeros(len(read), logits.shape[1] + 1, dtype=logits.dtype)
    candidates.scatter_(1, seen + 1, 1.0)  # column 0 takes what is yet to come
    candidates = candidates[:, 1:].scatter(1, wanted[:, None], 0.0)
    log_chances = F.log_softmax(logits, dim=1)
    likelihood = F.nll_loss(log_chances, wanted, reduction="sum")
    left = torch.clamp(1 - log_chances.exp(), min=1e-20)
    return likelihood - ALPHA * (left.log() * candidates).sum()


def plain(ids: Any, states: Any, weights: Any) -> Any:
    """The cross-entropy alone, of all logits."""
    import torch.nn.functional as F

    return F.cross_entropy(states @ weights.T, ids[1:], reduction="sum")


def products(ids: Any, states: Any, weights: Any) -> Any:
    """No loss, but the three products of states, table and T x V numbers that nobody does without."""
    import torch

    class Products(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, states: Any, weights: Any) -> Any:
            logits = states @ weights.T
            ctx.save_for_backward(states, weights, logits)
            return logits[0, 0].clone()

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            states, weights, logits = ctx.saved_tensors
            return logits @ weights, logits.T @ states

    return Products.apply(states, weights)


CONTENDERS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "ours": ours,
    "dense": dense,
    "plain": plain,
    "products": products,
}


def measure(name: str, job: Job) -> dict[str, float]:
    """The loss, the quickest of its repeats in seconds, and the bytes that it takes at most beyond what is given."""
    import torch

    torch.set_num_threads(job.threads)
    run = partial(_step, CONTENDERS[name], bf16=job.precision == "bf16")
    run(*material(SMOKE))  # what libraries ask for once is nobody's memory
    given = material(job)
    held = held_memory()
    loss, _ = run(*given)
    memory = max(1, peak_memory() - held)
    seconds = min(run(*given)[1] for _ in range(job.repeats))
    return {"loss": loss, "seconds": seconds, "bytes": memory}


def _step(
    run: Callable[[Any, Any, Any], Any], ids: Any, states: Any, weights: Any, *, bf16: bool = False
) -> tuple[float, float]:
    """Forward and backward: the loss and the seconds."""
    import torch

    states.grad = weights.grad = None
    begin = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        loss = run(ids, states, weights)
    loss.backward()
    return float(loss.detach()), time.perf_counter() - begin


def check(job: Job) -> float:
    """The largest difference of ours from the dense form, in fp64, relative to the largest of what is compared.

    Raises:
        ValueError: where the loss or a gradient differs by more than 1e-6.
    """
    found = []
    for run in (ours, dense):
        ids, states, weights = material(job)
        loss, _ = _step(run, ids, states, weights)
        found.append((loss, states.grad, weights.grad))
    pairs = list(zip(*found, strict=True))
    apart = [abs(pairs[0][0] - pairs[0][1]) / abs(pairs[0][1])]
    apart += [float((one - other).abs().max() / other.abs().max()) for one, other in pairs[1:]]
    if max(apart) > 1e-6:
        raise ValueError(f"ours is {max(apart):.1e} from the dense form")
    return max(apart)


def in_own_process(name: str, job: Job) -> dict[str, float]:
    """Measures a contender in a fresh Python, so that its peak memory is its own.

    Raises:
        RuntimeError: with what it said, when it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            sys.executable,
            "-m",
            "benchmarks.unlikelihood",
            "--child",
            name,
            json.dumps(asdict(job)),
            str(report),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{name} failed:\n{done.stdout}{done.stderr}")
        found: dict[str, float] = json.loads(report.read_text(encoding="utf-8"))
        return found


# The report


def precision(wanted: str) -> str:
    """What the trainer would decide, where nothing else is wanted."""
    import torch

    from convmodel.models.devices import has_fast_bf16

    return wanted if wanted != "auto" else "bf16" if has_fast_bf16(torch.device("cpu")) else "fp32"


def ratios_of(runs: dict[str, list[dict[str, float]]], *, smoke: bool) -> list[Ratio]:
    """Time against both peers, with and without the products, and memory against the plain cross-entropy."""

    def over_rounds(name: str, measure: str) -> list[float]:
        return [run[measure] for run in runs[name]]

    def beyond_products(name: str) -> list[float]:
        pairs = zip(over_rounds(name, "seconds"), over_rounds("products", "seconds"), strict=True)
        return [max(whole - alike, 1e-9) for whole, alike in pairs]

    found = [
        Ratio.of(
            f"time: {PEERS[name]}",
            over_rounds(name, "seconds"),
            over_rounds("ours", "seconds"),
            at_least=None if smoke else at_least,
        )
        for name, at_least in FASTER.items()
    ]
    alone = beyond_products("dense"), beyond_products("ours")
    found.append(
        Ratio.of(f"time beyond the products: {PEERS['dense']}", *alone, at_least=None if smoke else LOSS_FASTER)
    )
    memory = over_rounds("plain", "bytes"), over_rounds("ours", "bytes")
    return [*found, Ratio.of("memory: plain cross-entropy", *memory, at_least=None if smoke else SMALLER)]


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unlikelihood", description=__doc__)
    add_common_options(parser, name="unlikelihood", rounds=5)
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        default="auto",
        help="auto is bf16 where the CPU is quick at it, as in training (default: auto)",
    )
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        name, given, report = options.child
        Path(report).write_text(json.dumps(measure(name, Job(**json.loads(given)))), encoding="utf-8")
        return
    facts = machine(options.threads)
    job = SMOKE if options.smoke else Job(threads=options.threads, precision=precision(options.precision))
    with limited_threads(options.threads):
        apart = check(Job(**(asdict(job) | {"precision": "fp64", "tokens": min(job.tokens, 256)})))
        tell(f"value and gradients are those of the dense form: {apart:.1e} apart in fp64")
        run = measure if options.smoke else in_own_process
        runs = interleave(
            {name: partial(run, name, job) for name in CONTENDERS}, 1 if options.smoke else options.rounds
        )
    ratios = ratios_of(runs, smoke=options.smoke)
    rows = [
        [
            PEERS.get(name, "ours"),
            f"{statistics.median(run['seconds'] for run in found) * 1000:,.0f} ms",
            f"{statistics.median(run['bytes'] for run in found) / 2**20:,.0f} MiB",
        ]
        for name, found in runs.items()
    ]
    sizes = f"T = {job.tokens:,}, V = {job.vocabulary:,}, width {job.width:,}, {job.precision}, forward and backward"
    print(
        described(facts),
        sizes,
        table(["loss", "time", "memory beyond states and table"], rows),
        table(["ours against", *RATIO_COLUMNS], [[ratio.name, *ratio.cells()] for ratio in ratios]),
        sep="\n\n",
    )
    write_report(options.output, facts, ratios=ratios, measured={"job": asdict(job), "fp64_apart": apart, "runs": runs})


if __name__ == "__main__":
    main()

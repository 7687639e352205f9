"""Conversations in, GPT-2 124M's tokens per second on a GPU out, and their share of its matmul rate."""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import (
    add_common_options,
    add_data_option,
    conversation_files,
    described,
    limited_threads,
    machine,
    table,
    tell,
    write_report,
)
from benchmarks.job import Job
from benchmarks.training import in_own_process
from convmodel.data.conversation import Conversation, read_conversations
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer

GPT2: dict[str, Any] = {"n_layer": 12, "n_embd": 768, "n_head": 12, "n_positions": 1024}


def matmul_rate(size: int = 8192, repeats: int = 30) -> float:
    """The operations per second that this card reaches on large bf16 products: the best of five goes."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    rates = []
    for _ in range(6):  # the first warms up
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(repeats):
            a @ b
        torch.cuda.synchronize()
        rates.append(2 * size**3 * repeats / (time.perf_counter() - begin))
    return max(rates[1:])


def operations_per_token(parameters: int, job: Job) -> float:
    """Operations of forward and backward pass for a token.

    6 for each parameter that is multiplied with, and 12 x layers x width x length for attention.
    Source: arXiv:2204.02311, appendix B.
    """
    multiplied = parameters - job.n_positions * job.n_embd
    return 6.0 * multiplied + 12.0 * job.n_layer * job.n_embd * job.n_positions


def joined(
    conversations: Iterable[Conversation], tokenizer: ConversationTokenizer, longest: int
) -> Iterator[list[str]]:
    """Conversations one after the other, as many as fit into `longest` tokens together."""
    turns: list[str] = []
    used = 1
    for conversation in conversations:
        cost = sum(len(ids) + 1 for ids in tokenizer.encode_many(conversation.turns))
        if turns and used + cost > longest:
            yield turns
            turns, used = [], 1
        turns, used = [*turns, *conversation.turns], used + cost
    if turns:
        yield turns


def prepare_long(job: Job, longest: int) -> Job:
    """The same job on conversations that fill the model's window."""
    tokenizer = ConversationTokenizer.from_pretrained(job.model_folder)
    file = Path(job.folder) / "long.jsonl"
    with open(file, "w", encoding="utf-8") as output:
        for turns in joined(read_conversations(job.train_file), tokenizer, longest):
            output.write(json.dumps(turns, ensure_ascii=False) + "\n")
    return replace(job, train_file=str(file))


def measure(options: argparse.Namespace, folder: str) -> tuple[dict[str, Any], dict[int, list[dict[str, Any]]]]:
    """The card's rate, and the runs at each number of tokens per batch."""
    file = conversation_files(options.data, smoke=options.smoke)["train"].resolve()
    job = Job(folder, str(file), vocab_size=50257, threads=options.threads, seconds=options.seconds, **GPT2)
    job = replace(job, accelerator="cuda", warm_up=20)
    tell("learning the vocabulary")
    prepared = in_own_process("prepare", job)
    job = prepare_long(job, job.n_positions)
    found: dict[str, Any] = {
        "card": torch.cuda.get_device_name(),
        "matmul_rate": matmul_rate(),
        "parameters": prepared["parameters"],
        "operations_per_token": operations_per_token(prepared["parameters"], job),
    }
    runs = {}
    for budget in options.tokens_per_batch:
        tell(f"{budget:,} tokens per batch")
        at_budget = replace(job, tokens_per_batch=budget)
        runs[budget] = [in_own_process("ours", replace(at_budget, seed=seed)) for seed in range(1, options.rounds + 1)]
    return found, runs


def shown(found: dict[str, Any], runs: dict[int, list[dict[str, Any]]]) -> str:
    """What was trained, and a row for each number of tokens per batch."""
    rows = []
    for budget, done in runs.items():
        speed = statistics.median(run["tokens_per_second"] for run in done)
        share = speed * found["operations_per_token"] / found["matmul_rate"]
        memory = max(run["peak_device_memory_mib"] for run in done)
        rows.append([f"{budget:,}", done[0]["precision"], f"{speed:,.0f}", f"{share:.1%}", f"{memory:,} MiB"])
    header = [
        "tokens/batch",
        "precision",
        "useful tokens/s",
        "share of matmul rate",
        "peak memory of the card",
    ]
    return (
        f"{found['card']}: {found['matmul_rate'] / 1e12:,.0f} TFLOP/s in bf16 products of 8,192 x 8,192\n"
        f"GPT-2, {found['parameters']:,} parameters, conversations that fill 1,024 tokens\n\n"
        f"{table(header, rows)}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_gpu", description=__doc__)
    add_common_options(parser, name="training_gpu", rounds=3)
    add_data_option(parser)
    parser.add_argument("--seconds", type=float, default=20.0, help="of timing in a round (default: 20)")
    parser.add_argument("--tokens_per_batch", type=int, nargs="+", default=[16384, 32768], help="what is tried")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        parser.exit(2, "there is no CUDA device here; on a CPU use python -m benchmarks.training\n")
    facts = machine(options.threads)
    with limited_threads(options.threads), tempfile.TemporaryDirectory() as folder:
        found, runs = measure(options, folder)
    print(described(facts), shown(found, runs), sep="\n\n")
    write_report(options.output, facts, ratios=[], measured={**found, "runs": runs})


if __name__ == "__main__":
    main()

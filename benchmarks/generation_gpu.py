"""Streams in, tokens per second on a GPU out: the engine beside eager `generate`, on a GPT-2 of 124M in bf16."""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

from benchmarks.common import (
    RATIO_COLUMNS,
    Ratio,
    add_common_options,
    described,
    interleave,
    limited_threads,
    machine,
    table,
    tell,
    write_report,
)
from convmodel.generation.engine import Engine
from convmodel.generation.padded import ModelInput, generate_rows
from convmodel.generation.request import GenerationRequest

STREAMS = (1, 8, 64, 256)
CONTEXT = 32


def contexts(count: int, vocabulary: int) -> list[ModelInput]:
    """Random ids: how fast a token is read does not depend on which it is."""
    source = random.Random(0)
    return [ModelInput([source.randrange(vocabulary) for _ in range(CONTEXT)], [0] * CONTEXT) for _ in range(count)]


def ours(engine: Engine, rows: Sequence[ModelInput], config: GenerationConfig) -> int:
    """Tokens written."""
    tickets = engine.run(GenerationRequest(row.input_ids, row.token_type_ids, config) for row in rows)
    return sum(len(ticket.tokens) for ticket in tickets)


def generate(model: GPT2LMHeadModel, rows: Sequence[ModelInput], config: GenerationConfig) -> int:
    """The same through transformers."""
    return sum(len(replies[0]) for replies in generate_rows(model, rows, config))


def per_second(write: Callable[[], int]) -> float:
    """Tokens per second; what is read back at the end waits for the device."""
    begin = time.perf_counter()
    return write() / (time.perf_counter() - begin)


def run(options: argparse.Namespace) -> tuple[list[Ratio], dict[str, Any]]:
    """Measures each number of streams."""
    device = "cpu" if options.smoke else "cuda"
    shape: dict[str, Any] = {"n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 300} if options.smoke else {}
    torch.manual_seed(0)
    network = GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=None, eos_token_id=None)).eval()
    model: Any = network.to(torch.device(device), torch.float32 if options.smoke else torch.bfloat16)
    end = model.config.vocab_size - 1
    tokens = 4 if options.smoke else 128
    config = GenerationConfig(
        do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens, eos_token_id=[end], pad_token_id=end
    )
    found: dict[str, Any] = {}
    ratios = []
    for streams in (1, 4) if options.smoke else STREAMS:
        rows = contexts(streams, end)
        engine = Engine(model, max_running=streams, graphs=True, read_per_step=streams * CONTEXT)
        contenders = {
            "ours": partial(per_second, partial(ours, engine, rows, config)),
            "generate": partial(per_second, partial(generate, model, rows, config)),
        }
        for warm in contenders.values():
            warm()
        speeds = interleave(contenders, 1 if options.smoke else options.rounds)
        found[str(streams)] = speeds
        ratios.append(Ratio.of(f"{streams} streams", speeds["ours"], speeds["generate"]))
    return ratios, {"tokens_per_second": found, "new_tokens": tokens, "context": CONTEXT}


def shown(ratios: Sequence[Ratio], measured: dict[str, Any]) -> str:
    """Return the table."""
    rows = []
    for ratio, speeds in zip(ratios, measured["tokens_per_second"].values(), strict=True):
        medians = [f"{statistics.median(speeds[name]):,.0f}" for name in ("ours", "generate")]
        rows.append([ratio.name, *medians, *ratio.cells()])
    return table(["tokens/s, greedy", "ours", "generate", *RATIO_COLUMNS], rows)


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation_gpu", description=__doc__)
    add_common_options(parser, name="generation_gpu", rounds=5)
    options = parser.parse_args(arguments)
    if not options.smoke and not torch.cuda.is_available():
        tell("there is no CUDA device here; nothing was measured")
        return
    facts = machine(options.threads)
    if not options.smoke:
        facts["gpu"] = torch.cuda.get_device_name()
    with limited_threads(options.threads):
        ratios, measured = run(options)
    print(described(facts), shown(ratios, measured), sep="\n\n")
    write_report(options.output, facts, ratios=ratios, measured=measured)


if __name__ == "__main__":
    main()

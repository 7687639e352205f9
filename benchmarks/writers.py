"""A pretrained model in, tokens per second out: ours beside transformers and llama.cpp, each in its own process."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
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
    write_report,
)
from benchmarks.writers_job import Job
from convmodel.data.conversation import read_conversations
from convmodel.models.conversation_model import ConversationModel

STREAMS = [1, 8, 32]
TOKENS = 64
TURN = 15
"""The turn whose first token is waited for."""

Found = dict[str, list[dict[str, float]]]

OURS, OURS_INT8, GENERATE, CONTINUOUS, LLAMA = (
    "ours, fp32",
    "ours, int8",
    "generate, one at a time, fp32",
    "transformers' continuous batching, fp32",
    "llama.cpp",
)

CLAIMS = (
    ("8 streams against a locked generate", OURS_INT8, GENERATE, "8", 6.0),
    ("8 streams against llama.cpp", OURS_INT8, LLAMA, "8", 1.5),
    ("32 streams against llama.cpp", OURS_INT8, LLAMA, "32", None),
    ("one stream against llama.cpp", OURS_INT8, LLAMA, "1", 0.8),
    ("one stream against generate, fp32", OURS, GENERATE, "1", None),
    ("32 streams against continuous batching, fp32", OURS, CONTINUOUS, "32", None),
    ("first token at turn 15 against generate", OURS_INT8, GENERATE, "first token", 8.0),
    ("first token at turn 15 against llama.cpp", OURS_INT8, LLAMA, "first token", None),
)


def jobs(options: argparse.Namespace) -> dict[str, Job]:
    """Return the job of each contender: the same ids for all, from real conversations."""
    tokenizer = ConversationModel.from_pretrained(options.model, "cpu", "float32").tokenizer
    file = conversation_files(options.data, smoke=options.smoke)["test"]
    found = [list(c.turns) for c in islice(read_conversations(file), 400)]
    streams = [1, 2] if options.smoke else STREAMS
    contexts = [tokenizer(turns[: 2 * (n % 4) + 1])["input_ids"] for n, turns in enumerate(found[: max(streams)])]
    turns = [turn for turns in found for turn in turns][:TURN]
    whole = tokenizer(turns)["input_ids"]
    before = tokenizer(turns[:-2])["input_ids"]
    shared = next((n for n, pair in enumerate(zip(whole, before, strict=False)) if len({*pair}) > 1), len(before))
    before = whole[: max(shared, len(whole) - len(tokenizer.encode(turns[-1])) - 8)]
    tokens = 3 if options.smoke else TOKENS
    one = partial(Job, contexts=contexts, tokens=tokens, talk=[before, whole[len(before) :]], threads=options.threads)
    model = str(options.model.resolve())
    made = {
        OURS: one("ours", model, "float32", streams=streams),
        OURS_INT8: one("ours", model, "int8", streams=streams),
        GENERATE: one("generate", model, "float32", streams=streams[:-1]),
        CONTINUOUS: one("continuous", model, "float32", streams=streams[1:]),
    }
    if options.gguf is not None:
        made[LLAMA] = one("llama.cpp", str(options.gguf.resolve()), "", streams=streams)
    return {name: job for name, job in made.items() if not options.only or name in options.only}


def run(job: Job, python: str) -> dict[str, float]:
    """Run a contender in a fresh Python; RuntimeError with its output if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        given, report = Path(folder) / "job.json", Path(folder) / "report.json"
        given.write_text(json.dumps(asdict(job)), encoding="utf-8")
        command = [python, "-m", "benchmarks.writers_job", str(given), str(report)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{job.contender} failed:\n{done.stdout}{done.stderr}")
        found: dict[str, float] = json.loads(report.read_text(encoding="utf-8"))
        return found


def shown(found: Found, ratios: Sequence[Ratio]) -> str:
    """Return a table with a row for each contender, and the ratios."""
    columns = [*dict.fromkeys(name for rounds in found.values() for name in rounds[0])]
    columns.sort(key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0))
    header = ["", *(f"{name} streams, tokens/s" if name.isdigit() else f"{name}, ms" for name in columns)]
    rows = [[name, *(_cell(rounds, column) for column in columns)] for name, rounds in found.items()]
    claims = table(["", *RATIO_COLUMNS], [[ratio.name, *ratio.cells()] for ratio in ratios])
    return "\n\n".join([table(header, rows), claims])


def _cell(rounds: Sequence[dict[str, float]], column: str) -> str:
    values = [found[column] for found in rounds if column in found]
    if not values:
        return ""
    middle = statistics.median(values)
    return f"{middle:,.0f}" if column.isdigit() else f"{1000 * middle:,.0f}"


def compare(found: Found, *, claimed: bool) -> list[Ratio]:
    """Return the ratios of ours to the others, round by round."""
    ratios = []
    for name, ours, other, column, at_least in CLAIMS:
        if other in found and ours in found and column in found[other][0]:
            pairs = [[one[column] for one in found[contender]] for contender in (ours, other)]
            if not column.isdigit():  # seconds: less is better
                pairs = pairs[::-1]
            ratios.append(Ratio.of(name, *pairs, at_least=at_least if claimed else None))
    return ratios


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.writers", description=__doc__)
    add_common_options(parser, name="writers", rounds=3)
    add_data_option(parser)
    parser.add_argument("--model", type=Path, required=True, help="a folder, such as that of SmolLM2-135M-Instruct")
    parser.add_argument("--gguf", type=Path, help="the same model in Q8_0, for llama.cpp")
    parser.add_argument(
        "--llama_python", default=sys.executable, help="the Python with llama-cpp-python (default: this)"
    )
    parser.add_argument("--only", nargs="+", help="some of the contenders")
    options = parser.parse_args(arguments)
    facts = machine(options.threads)
    print(described(facts))
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with limited_threads(options.threads):
        made: dict[str, Callable[[], Any]] = {
            name: partial(run, job, options.llama_python if name == LLAMA else sys.executable)
            for name, job in jobs(options).items()
        }
        found = interleave(made, 1 if options.smoke else options.rounds)
    ratios = compare(found, claimed=not options.smoke)
    print("", shown(found, ratios), sep="\n")
    write_report(options.output, facts, ratios=ratios, measured={"tokens per second, and seconds": found})


if __name__ == "__main__":
    main()

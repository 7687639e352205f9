"""Conversations and several ways to learn not to repeat in, perplexity beside what is repeated out.

Each conversation is read as one document, a turn a line: long enough texts for a small model to run in circles.
"""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

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
from convmodel.data.conversation import read_conversations
from convmodel.data.document import Document, write_documents
from convmodel.reports.evaluation import EvaluationOptions, evaluate
from convmodel.trainer import main as trainer

MODULE = "convmodel.training.DocumentModule"
DATA = "convmodel.training.DocumentDataModule"

SIZES: dict[str, Any] = {"n_layer": 2, "n_head": 4, "n_embd": 256, "n_positions": 512, "vocab_size": 4096}
SMOKE: dict[str, Any] = {"n_layer": 1, "n_head": 2, "n_embd": 16, "n_positions": 128, "vocab_size": 400}

SHOWN = ("perplexity", "rep_128", "seq_rep_4", "uniq_seq", "distinct_1", "distinct_2")
"""Of the metrics of `evaluate`; the others are in the report."""


@dataclass(frozen=True)
class Way:
    """A way to train.

    Args:
        name: for the table.
        options: of the module.
        after: the name of the way whose model it goes on with, if any.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    after: str | None = None


ALPHA = "model.unlikelihood_alpha"
SHARE = "model.sequence_unlikelihood.share"
LIKELIHOOD = "likelihood alone"
TOKENS = "token level, alpha 1"
WAYS = (
    Way(LIKELIHOOD),
    Way("token level, alpha 0.25", {ALPHA: 0.25}),
    Way(TOKENS, {ALPHA: 1.0}),
    Way("likelihood, then sequence level", {SHARE: 0.5}, after=LIKELIHOOD),
    Way("token level, then sequence level", {ALPHA: 1.0, SHARE: 0.5}, after=TOKENS),
)
"""Those of arXiv:1908.04319, where a trained model is fine-tuned at the sequence level in half of the steps."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.repetition", description=__doc__)
    add_common_options(parser, name="repetition", rounds=1)
    add_data_option(parser)
    parser.add_argument("--work", type=Path, default=Path("repetition-work"), help="where models are kept")
    parser.add_argument("--steps", type=int, default=1_000, help="of each model (default: 1000)")
    parser.add_argument("--more_steps", type=int, default=100, help="at the sequence level (default: 100)")
    parser.add_argument("--held_out", type=int, default=300, help="documents that are measured (default: 300)")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.steps, options.more_steps, options.held_out = 2, 2, 20
    facts = machine(options.threads)
    rows = []
    with limited_threads(options.threads):
        options.work.mkdir(parents=True, exist_ok=True)
        files = documents(options)
        for way in WAYS:
            tell(way.name)
            rows.append(_measured(way, files, options))
    header = ["", *SHOWN]
    gold = ["the documents themselves", *(_shown(rows[0][name]["gold"]) for name in SHOWN)]
    print(table(header, [[row["name"], *(_shown(row[name]["value"]) for name in SHOWN)] for row in rows] + [gold]))
    print(f"\n{described(facts)}")
    write_report(options.output, facts, ratios=[], measured={"steps": options.steps, "ways": rows})


def documents(options: argparse.Namespace) -> list[Path]:
    """Write the files of train and valid with conversations as documents, and return them."""
    found = []
    sources = conversation_files(options.data, smoke=options.smoke)
    for split, most in (("train", 200 if options.smoke else None), ("valid", options.held_out)):
        target = options.work / f"{split}.jsonl"
        some = islice(read_conversations(sources[split]), most)
        write_documents((Document("\n".join(one.turns)) for one in some), target)
        found.append(target)
    return found


def _measured(way: Way, files: Sequence[Path], options: argparse.Namespace) -> dict[str, Any]:
    folder = options.work / way.name
    if not folder.is_dir():
        _train(way, files, options, folder)
    words = 5 if options.smoke else 50
    found = evaluate(folder, files[1], options=EvaluationOptions(prompt_words=words)).report
    numbers = {number.name: {"value": number.value, "gold": number.gold} for number in found.metrics}
    return {"name": way.name, **numbers}


def _train(way: Way, files: Sequence[Path], options: argparse.Namespace, folder: Path) -> None:
    fresh = options.work / f"{way.name}, in training"  # a run that was stopped leaves no model
    shutil.rmtree(fresh, ignore_errors=True)
    steps = options.steps if way.after is None else options.more_steps
    sizes = SMOKE if options.smoke else SIZES
    begin: dict[str, Any] = {f"model.from_scratch.{name}": value for name, value in sizes.items()}
    begin["model.optimizer"] = "adamw"
    if way.after is not None:
        begin = {"model.pretrained_model_name_or_path": options.work / way.after, "model.learning_rate": 1e-4}
    given: dict[str, Any] = {
        "data.train_file": files[0],
        "data.cache_dir": options.work / "cache",
        "model.warmup_steps": max(1, steps // 10),
        "trainer.max_steps": steps,
        "trainer.max_epochs": -1,
        "trainer.accelerator": "cpu",
        "trainer.logger": "false",
        "trainer.default_root_dir": options.work / "runs" / way.name,
        "trainer.enable_progress_bar": "false",
        "export_dir": fresh,
    }
    given |= begin | way.options
    trainer(["fit", f"--model={MODULE}", f"--data={DATA}", *(f"--{name}={value}" for name, value in given.items())])
    fresh.rename(folder)


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3f}"


if __name__ == "__main__":
    main()

"""Examples with candidates in, a table of recalls out: four architectures, BM25, sentence-transformers.

A model that is trained already, and a number that is measured already, are not made again: a long run can be stopped.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import choosers
from benchmarks.choosers import Score, Work
from benchmarks.common import (
    add_common_options,
    add_data_option,
    described,
    limited_threads,
    machine,
    table,
    tell,
    write_report,
)
from convmodel.data.conversation import Conversation
from convmodel.data.selection_example import SelectionExample, SelectionReader, open_reader
from convmodel.metrics.ranking import rank

SETS = ("ubuntu_irc", "persona")

SIZES: dict[str, Any] = {
    **{"layers": 1, "heads": 4, "width": 256, "positions": 256, "vocab_size": 8192, "dropout": 0.1},
}
"""Of the encoder from scratch."""

SMOKE: dict[str, Any] = SIZES | {"width": 32, "vocab_size": 600}

CONVERT: dict[str, Any] = {
    "model.sizes.vocab_size": 8192,
    "model.sizes.width": 256,
    "model.sizes.inner": 1024,
    "model.sizes.encoding": 256,
}
"""ConveRT at half its width: at 37.5 million parameters it would see next to nothing in the time of the others."""

CONVERT_SHARE = 2
"""A step of its six blocks takes about so many times as long as one of the others: it takes so many times fewer."""

CONVERT_LEARNING_RATE = 5e-4
"""At 2e-3 its loss had not fallen after sixty steps."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_options(parser, name="choosing", rounds=1)
    add_data_option(parser)
    parser.add_argument("--work", type=Path, default=Path("choosing-work"), help="where models are kept")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS, help="folders of the data")
    parser.add_argument("--pretraining_steps", type=int, default=1_000, help="on self_dialogue, of what all begin with")
    parser.add_argument("--steps", type=int, default=1_000, help="of models that encode apart")
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--cross_steps", type=int, default=1_000, help="of models that read pairs")
    parser.add_argument("--cross_batch", type=int, default=16)
    parser.add_argument("--contenders", nargs="+", help="some of them, by name; all when left out")
    parser.add_argument("--test_examples", type=int, default=None, help="the first of the test file; all when left out")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.pretraining_steps = options.steps = options.cross_steps = 2
        options.batch_size, options.cross_batch, options.test_examples = 16, 4, 12
    with limited_threads(options.threads):
        torch.set_num_threads(options.threads)
        facts = machine(options.threads)
        options.work.mkdir(parents=True, exist_ok=True)
        base, convert = _bases(options)
        measured = {name: _set(name, options, base, convert) for name in options.sets}
    for name, rows in measured.items():
        print(f"\n{name}\n\n{_table(rows)}")
    print(f"\n{described(facts)}")
    write_report(options.output, facts, ratios=[], measured=measured)


# What all begin with


def _bases(options: argparse.Namespace) -> tuple[Path, Path]:
    """Train a bi-encoder and a ConveRT on the pairs of self_dialogue with a vocabulary of all data."""
    files = [options.data / "self_dialogue" / f"{split}.jsonl" for split in ("train", "valid")]
    training = [options.data / name / "train.jsonl" for name in SETS]
    train, valid = (options.work / f"pairs-{split}.jsonl" for split in ("train", "valid"))
    for source, target in zip(files, (train, valid), strict=True):
        if not target.is_file():
            _join([source, *training] if target == train else [source], target, options.smoke)
    work = _work("pairs", options, {"train": train, "valid": valid, "test": valid}, options.work / "base")
    work = replace(work, steps=options.pretraining_steps)
    shorter = {"data.max_turns": 3, "model.learning_rate": 2 * choosers.LEARNING_RATE}
    if not work.base.is_dir():
        choosers.train_ours("bi-encoder", work, base=None, output=work.base, **shorter)
    convert = options.work / "base-convert"
    if not convert.is_dir() and "ConveRT" in (options.contenders or ["ConveRT"]):
        sizes = {} if options.smoke else CONVERT
        fewer = replace(work, sizes=sizes, steps=max(1, work.steps // CONVERT_SHARE))
        choosers.train_ours("ConveRT", fewer, base=None, output=convert, **(shorter | _recipe()))
    return work.base, convert


def _join(sources: Sequence[Path], target: Path, smoke: bool) -> None:
    """Conversations of several files in one, so that one vocabulary serves all; of an example its last two turns."""
    with open(target, "w", encoding="utf-8") as file:
        for source in sources:
            found: Iterable[SelectionExample | Conversation] = open_reader(source)
            for one in islice(found, 60 if smoke else None):
                turns = (one.context[-1], one.response) if isinstance(one, SelectionExample) else one.turns
                file.write(json.dumps({"turns": turns}, ensure_ascii=False) + "\n")


def _recipe() -> dict[str, Any]:
    """ADADELTA, ConveRT's own, has hardly begun after a thousand steps."""
    return {"model.optimizer": "adamw", "model.learning_rate": CONVERT_LEARNING_RATE, "model.scale_steps": 100}


def _work(name: str, options: argparse.Namespace, files: dict[str, Path], base: Path) -> Work:
    sizes = SMOKE if options.smoke else SIZES
    return Work(
        name=name,
        folder=options.work / name,
        **files,
        base=base,
        steps=options.steps,
        batch_size=options.batch_size,
        cross_steps=options.cross_steps,
        cross_batch=options.cross_batch,
        max_context=150,
        max_candidate=50,
        sizes={f"model.new_encoder.{key}": value for key, value in sizes.items()},
    )


# One data set


def _set(name: str, options: argparse.Namespace, base: Path, convert: Path) -> list[dict[str, Any]]:
    """Trains and measures every contender; what is measured already is read."""
    folder = options.work / name
    folder.mkdir(exist_ok=True)
    files = {split: options.data / name / f"{split}.jsonl" for split in ("train", "valid", "test")}
    work = _work(name, options, files, base)
    fewer = replace(work, steps=max(1, work.steps // CONVERT_SHARE))
    examples = list(islice(SelectionReader(work.test), options.test_examples))

    def begun() -> Path:
        """What cross-encoders begin with, as in examples/: from less, they learn next to nothing in this time."""
        _ours("bi-encoder", work, base)
        return folder / "bi-encoder"

    contenders: dict[str, Callable[[], tuple[Score, float]]] = {
        "always the same text": lambda: (choosers.constant, 0.0),
        "BM25": lambda: (choosers.bm25, 0.0),
        "ConveRT": lambda: _ours("ConveRT", fewer, convert, **_recipe()),
        "bi-encoder": lambda: _ours("bi-encoder", work, base),
        "sentence-transformers, bi-encoder": lambda: choosers.sentence_bi(work),
        "poly-encoder": lambda: _ours("poly-encoder", work, base),
        "cross-encoder": lambda: _ours("cross-encoder", work, begun()),
        "sentence-transformers, cross-encoder": lambda: choosers.sentence_cross(replace(work, base=begun())),
    }
    chosen = {name: make for name, make in contenders.items() if name in (options.contenders or contenders)}
    return [_measured(folder, contender, make, examples) for contender, make in chosen.items()]


def _ours(kind: str, work: Work, base: Path, **options: Any) -> tuple[Score, float]:
    output = work.folder / kind
    seconds = 0.0 if output.is_dir() else choosers.train_ours(kind, work, base=base, output=output, **options)
    return choosers.ours(output), seconds


def _measured(
    folder: Path, name: str, make: Callable[[], tuple[Score, float]], examples: Sequence[SelectionExample]
) -> dict[str, Any]:
    kept = folder / f"{name}.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    tell(f"{folder.name}: {name}")
    score, training = make()
    begun = time.perf_counter()
    scores = list(score(examples))
    found = {"name": name, "training_seconds": training, "scoring_seconds": time.perf_counter() - begun}
    found |= recalls(scores, examples)
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found


def recalls(scores: Sequence[np.ndarray], examples: Sequence[SelectionExample]) -> dict[str, float]:
    """Return R_n@1, R_n@2, R_n@5 and MRR of the pools and, for large pools, of the first nine distractors."""
    whole = max(len(one.candidates) for one in examples)
    found: dict[str, float] = {}
    for size in [10, whole] if whole > 50 else [whole]:
        gold = []
        rows = []
        for row, one in zip(scores, examples, strict=True):
            others = [place for place in range(len(one.candidates)) if place != one.gold][: size - 1]
            rows.append(row[[one.gold, *others]])
            gold.append(0)
        ranks = np.array([ranked.ranks[0] for ranked in rank(rows, gold)])
        found |= {f"R_{size}@{k}": float((ranks <= k).mean()) for k in (1, 2, 5)}
        found[f"mrr/{size}"] = float((1 / ranks).mean())
    return found


def _table(rows: Sequence[dict[str, Any]]) -> str:
    names = [name for name in rows[0] if name not in ("name", "training_seconds", "scoring_seconds")]
    lines = [
        [row["name"], *(f"{row[name]:.3f}" for name in names), f"{row['training_seconds']:,.0f} s"] for row in rows
    ]
    return table(["", *names, "training"], lines)


if __name__ == "__main__":
    main()

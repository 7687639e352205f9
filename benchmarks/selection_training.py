"""A batch of 512 pairs in, memory and seconds of a step out: cached gradients, the plain step, sentence-transformers.

The encoder is a BERT from scratch; a step is loss and gradients, without the optimiser, which is the same for all.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.common import ROOT, Ratio, held_memory, interleave, peak_memory, table, tell
from benchmarks.selection_pairs import COSINE_SCALE, MODULES, Material, Recipe, prepare, rows_of
from convmodel.models.folder import quiet_progress
from convmodel.models.selection.layout import pad_rows
from convmodel.tokens.selection_dataset import TokenisedChoice
from convmodel.training.selector_module import SelectorModule

PAIRS = 512
RECIPES = {kind: Recipe(kind, max_context=100, max_candidate=50) for kind in MODULES}
"""With the lengths of the recipe for Ubuntu's dialogues."""

WAYS = {"plain": False, "cached": True}
PEER = "sentence-transformers' cached loss"
PEER_BATCHES = (32, 128)
"""Texts that the peer reads at once, the first its default: the quicker one is the peer."""

WARM = 8
"""Pairs of the step before the one that is measured: what libraries ask for once is no step's memory."""


def measure(*, smoke: bool, data: Path, rounds: int = 3) -> dict[str, Any]:
    """Compares gradients and losses, then measures memory and time.

    Returns:
        For each kind bytes of a plain and of a cached step, and how far their gradients are apart; the losses; seconds
        of each round of our cached steps and of the peer's.

    Raises:
        ValueError: where gradients or losses differ.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        material = prepare(folder, data, smoke=smoke)
        examples = material.tokenised(16 if smoke else PAIRS)
        written = json.dumps([asdict(one) for one in examples])
        (folder / "examples.json").write_text(written, encoding="utf-8")
        memory = measure_memory(folder, smoke=smoke)
        apart = {kind: check_gradients(folder, kind) for kind in MODULES}
        return {
            "data": material.name,
            "pairs": len(examples),
            "parameters": RECIPES["bi-encoder"].build(material.base).selector.parameters(),
            "memory": memory,
            "gradients_apart": apart,
            **measure_time(material, examples, rounds=1 if smoke else rounds),
            "claimed": not smoke,
        }


# Memory


def measure_memory(folder: Path, *, smoke: bool) -> dict[str, dict[str, int]]:
    """Bytes of a plain and of a cached step of each kind, each in a fresh Python."""
    found: dict[str, dict[str, int]] = {kind: {} for kind in MODULES}
    for kind, way in product(MODULES, WAYS):
        tell(f"memory of a {way} step: {kind}")
        arguments = ["-m", "benchmarks.selection_training", kind, way, str(folder)]
        if smoke:
            step_memory(kind, way, folder)
        else:
            done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"a {way} step of a {kind} failed:\n{done.stdout}{done.stderr}")
        found[kind][way] = int((folder / f"{kind}-{way}.txt").read_text(encoding="utf-8"))
    return found


def step_memory(kind: str, way: str, folder: Path) -> None:
    """Writes the bytes that a step took at most beyond what the process held before, and the gradients."""
    read = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    examples = [TokenisedChoice(**one) for one in read]
    module = replace(RECIPES[kind], cached=WAYS[way]).build(folder / "base")
    step(module, examples[:WARM])
    for weights in module.parameters():
        weights.grad = None
    held = held_memory()
    step(module, examples)
    (folder / f"{kind}-{way}.txt").write_text(str(max(1, peak_memory() - held)), encoding="utf-8")
    gradients = {name: w.grad for name, w in module.network.named_parameters() if w.grad is not None}
    save_file(gradients, folder / f"{kind}-{way}.safetensors")


def check_gradients(folder: Path, kind: str) -> float:
    """The largest difference of a cached step's gradients from a plain one's, relative to the largest of them.

    Raises:
        ValueError: where it is above 1e-5.
    """
    plain, cached = (load_file(folder / f"{kind}-{way}.safetensors") for way in WAYS)
    if plain.keys() != cached.keys():
        raise ValueError(f"{kind}: other weights have gradients in a cached step than in a plain one")
    largest = max(float(each.abs().max()) for each in plain.values())
    apart = max(float((each - cached[name]).abs().max()) for name, each in plain.items()) / largest
    if apart > 1e-5:
        raise ValueError(f"{kind}: gradients of a cached step are {apart:.1e} of the largest from those of a plain one")
    tell(f"{kind}: cached gradients are those of the plain step, {apart:.1e} of the largest between them")
    return apart


# Time


def measure_time(material: Material, examples: Sequence[TokenisedChoice], *, rounds: int) -> dict[str, Any]:
    """Losses without dropout, and seconds of each round."""
    modules = {kind: replace(recipe, cached=True).build(material.base) for kind, recipe in RECIPES.items()}
    runs: dict[str, Callable[[], object]] = {kind: partial(step, each, examples) for kind, each in modules.items()}
    losses = {"ours": _without_dropout(modules["bi-encoder"], partial(modules["bi-encoder"].batch_loss, examples))}
    try:
        peers = {size: Peer(material.base, size) for size in PEER_BATCHES}
    except ModuleNotFoundError as error:
        tell(f"{error.name} is not there (pip install sentence-transformers): measured without {PEER}")
        peers = {}
    features = peer_features(modules["bi-encoder"], examples)
    for size, peer in peers.items():
        runs[_named(size)] = partial(peer.step, features)
        losses[_named(size)] = _without_dropout(peer.model, partial(peer.loss_of, features))
        if abs(losses[_named(size)] - losses["ours"]) > 1e-4:
            raise ValueError(f"the loss of a batch is {losses['ours']} in ours and {losses[_named(size)]} in {PEER}")
    if peers:
        tell(f"losses are equal: {', '.join(f'{loss:.6f}' for loss in losses.values())}")
    seconds = {name: partial(_seconds, run) for name, run in runs.items()}
    return {"losses": losses, "seconds": interleave(seconds, rounds)}


def step(module: SelectorModule, examples: Sequence[TokenisedChoice]) -> None:
    """Lays the examples out, and makes gradients."""
    module.zero_grad(set_to_none=True)
    torch.manual_seed(1)
    module.batch_loss(examples).backward()


def peer_features(module: SelectorModule, examples: Sequence[TokenisedChoice]) -> list[dict[str, Tensor]]:
    """The rows of ours as the peer's collator would pad them: the same ids, types and separators."""
    padded = (pad_rows(rows, 0) for rows in rows_of(module, examples))
    return [{"input_ids": p.ids, "token_type_ids": p.types, "attention_mask": p.mask.long()} for p in padded]


class Peer:
    """sentence-transformers' bi-encoder and its CachedMultipleNegativesRankingLoss.

    Args:
        base: the encoder's folder.
        batch: texts that are read at once.
    """

    def __init__(self, base: Path, batch: int) -> None:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

        with quiet_progress():
            encoder = Transformer(str(base))
        pooling = Pooling(encoder.get_embedding_dimension(), "mean")
        self.model = SentenceTransformer(modules=[encoder, pooling], device="cpu").train()
        self._loss = CachedMultipleNegativesRankingLoss(self.model, scale=COSINE_SCALE, mini_batch_size=batch)

    def loss_of(self, features: Sequence[dict[str, Tensor]]) -> Tensor:
        """Of a batch; its parts may be written into, so they are copied."""
        found: Tensor = self._loss([dict(each) for each in features], torch.empty(0))
        return found

    def step(self, features: Sequence[dict[str, Tensor]]) -> None:
        """Makes gradients."""
        self.model.zero_grad(set_to_none=True)
        torch.manual_seed(1)
        self.loss_of(features).backward()


def _named(batch: int) -> str:
    return f"{PEER}, {batch} at once"


@torch.no_grad()
def _without_dropout(module: torch.nn.Module, loss: Callable[[], Tensor]) -> float:
    module.eval()
    found = float(loss())
    module.train()
    return found


def _seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


# What came of it


def ratios(measured: dict[str, Any]) -> list[Ratio]:
    """By how much less memory a cached step takes, and by how much it is faster than the peer's."""
    memory, time_claim = (4.0, 1.5) if measured["claimed"] else (None, None)
    found = []
    for kind, bytes_of in measured["memory"].items():
        name = f"{kind}, the plain step's memory over a cached one's"
        found.append(Ratio.of(name, [bytes_of["plain"]], [bytes_of["cached"]], at_least=memory))
    seconds = measured["seconds"]
    peers = [name for name in seconds if name.startswith(PEER)]
    if peers:
        best = min(peers, key=lambda name: min(seconds[name]))
        for kind in measured["memory"]:
            found.append(Ratio.of(f"{kind}, against {best}", seconds[best], seconds[kind], at_least=time_claim))
    return found


def shown(measured: dict[str, Any]) -> str:
    """The tables."""
    memory = [
        [kind, *(f"{bytes_of[way] / 2**20:,.0f} MiB" for way in WAYS), f"{bytes_of['cached'] / bytes_of['plain']:.3f}x"]
        for kind, bytes_of in measured["memory"].items()
    ]
    rows = [
        [name, f"{statistics.median(runs):.2f} s", f"{min(runs):.2f} s"] for name, runs in measured["seconds"].items()
    ]
    head = f"a step of {measured['pairs']} pairs of {measured['data']}"
    return table([head, "plain", "cached", ""], memory) + "\n\n" + table([head, "median", "least"], rows)


def main() -> None:
    """One step for the memory, with the kind, the way and the folder that the arguments name."""
    kind, way, folder = sys.argv[1:]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    step_memory(kind, way, Path(folder))


if __name__ == "__main__":
    main()

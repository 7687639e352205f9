"""Examples in, useful examples of training per second out: what the trainer runs, beside a plain padded loop."""

import statistics
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.common import Ratio, interleave, table, tell
from benchmarks.job import Meter
from benchmarks.selection_pairs import Material, Recipe, prepare, rows_of
from convmodel.models.devices import has_fast_bf16
from convmodel.models.selection.layout import EncoderBatch, pad_rows
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.tokens.selection_dataset import TokenisedChoice
from convmodel.training.selector_module import SelectorModule
from convmodel.training.tokenizer import connect

BATCH = 64
RECIPE = Recipe("poly-encoder", max_context=360, max_candidate=72)
"""With the lengths that are the trainer's own."""

WARM_UP = 3
SECONDS = 25.0

OURS, PLAIN = "ours", "plain"
CLAIMS = {True: 4.0, False: 1.5}
"""Where the processor multiplies bf16 in hardware, and where it does not."""


@dataclass(frozen=True)
class Loop:
    """What both are given.

    Args:
        material: examples and encoder.
        folder: where tokens are kept.
        batch_size: examples of a step.
        seconds: of timing in a round.
    """

    material: Material
    folder: Path
    batch_size: int
    seconds: float


def measure(*, smoke: bool, data: Path, rounds: int = 3) -> dict[str, Any]:
    """Compares losses, then measures speed.

    Returns:
        Examples per second of each round, losses, tokens of a batch with and without padding, and whether bf16 was
        used.

    Raises:
        ValueError: where the losses of a batch differ.
    """
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Lightning, on how batches could be read by several processes
        folder = Path(name)
        loop = Loop(prepare(folder, data, smoke=smoke), folder, *((8, 0.1) if smoke else (BATCH, SECONDS)))
        losses = check_losses(loop)
        seeds = {OURS: count(1), PLAIN: count(1)}
        runs = {OURS: lambda: ours(loop, next(seeds[OURS])), PLAIN: lambda: plain(loop, next(seeds[PLAIN]))}
        if not smoke:
            tell("reading the file")
            ours(replace(loop, seconds=0.0), 0)  # tokens are kept from the first start on
        return {
            "data": loop.material.name,
            "batch_size": loop.batch_size,
            "losses": losses,
            "tokens": tokens(loop),
            "bf16": has_fast_bf16(torch.device("cpu")),
            "examples_per_second": interleave(runs, 1 if smoke else rounds),
            "claimed": not smoke,
        }


def ours(loop: Loop, seed: int) -> float:
    """Examples per second of what `python -m convmodel.trainer` runs, with its own defaults."""
    from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything

    from convmodel.training.cli import TRAINER_DEFAULTS
    from convmodel.training.datamodules.selection import SelectionBatch, SelectionDataModule

    meter = Meter(WARM_UP, loop.seconds)

    class Metered(Callback):
        def on_train_batch_end(
            self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: SelectionBatch, batch_idx: int
        ) -> None:
            trainer.should_stop = not meter.step(len(batch.examples))

    seed_everything(seed, verbose=False)
    trainer = Trainer(
        **TRAINER_DEFAULTS | {"max_epochs": 1_000},
        accelerator="cpu",
        devices=1,
        precision="bf16-mixed" if has_fast_bf16(torch.device("cpu")) else "32-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=loop.folder,
        callbacks=[Metered()],
    )
    data = SelectionDataModule(
        str(loop.material.file), batch_size=loop.batch_size, cache_dir=str(loop.folder / "cache")
    )
    module = RECIPE.build(loop.material.base)
    connect(module, data)
    trainer.fit(module, datamodule=data)
    return meter.tokens / (meter.end - meter.begin)


def plain(loop: Loop, seed: int) -> float:
    """Examples per second of a plain loop: random batches, their ids there already, padded to the longest, fp32."""
    module = RECIPE.build(loop.material.base)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(module.parameters(), lr=RECIPE.learning_rate, fused=True)
    meter = Meter(WARM_UP, loop.seconds)
    for examples in loop.material.drawn(loop.batch_size, seed=seed):
        padded_loss(module, examples).backward()
        optimizer.step()
        optimizer.zero_grad()
        if not meter.step(len(examples)):
            break
    return meter.tokens / (meter.end - meter.begin)


def padded_loss(module: SelectorModule, examples: Sequence[TokenisedChoice]) -> Tensor:
    """The loss of a batch as it is mostly written: contexts and responses, each padded to the longest, read at once."""
    selector = cast(PolyEncoder, module.selector)
    contexts, candidates = (pad_rows(rows, 0) for rows in rows_of(module, examples))
    vectors = _attended(selector, contexts)
    responses = _hidden(selector, candidates)
    there = candidates.mask[..., None]
    responses = (responses * there).sum(1) / there.sum(1)
    responses = functional.normalize(responses, dim=-1)
    vectors = cast(float, selector.cosine_scale) * functional.normalize(vectors, dim=-1)
    weights = (responses @ vectors.transpose(1, 2)).softmax(-1)  # (B, C, M)
    scores = ((weights @ vectors) * responses).sum(-1)
    return functional.cross_entropy(scores, torch.arange(len(scores)))


def _hidden(selector: PolyEncoder, rows: EncoderBatch) -> Tensor:
    """(B, T, D) hidden states as transformers gives them."""
    hf_model = selector.network.contexts.hf_model
    given = {"input_ids": rows.ids, "token_type_ids": rows.types, "attention_mask": rows.mask.long()}
    return cast(Tensor, hf_model(**given).last_hidden_state)


def _attended(selector: PolyEncoder, rows: EncoderBatch) -> Tensor:
    """(B, M, D), what each code sees of a context."""
    hidden = _hidden(selector, rows)
    scores = cast(Tensor, selector.codes.codes) @ hidden.transpose(1, 2)
    return scores.masked_fill(~rows.mask[:, None], -torch.inf).softmax(-1) @ hidden


def check_losses(loop: Loop) -> dict[str, float]:
    """The loss of a batch of different texts, without dropout.

    Raises:
        ValueError: where ours and the plain loop's differ.
    """
    module = RECIPE.build(loop.material.base)
    module.eval()
    examples = loop.material.tokenised(loop.batch_size)
    with torch.no_grad():
        found = {
            OURS: float(module.batch_loss(examples)),
            PLAIN: float(padded_loss(module, examples)),
        }
    if abs(found[OURS] - found[PLAIN]) > 1e-4:
        raise ValueError(f"the loss of a batch is {found[OURS]} in ours and {found[PLAIN]} in the plain loop")
    tell(f"losses are equal: {found[OURS]:.6f} in ours, {found[PLAIN]:.6f} in the plain loop")
    return found


def tokens(loop: Loop) -> dict[str, float]:
    """Tokens of a batch, on the average of 20, and those that the plain loop reads with its padding."""
    module = RECIPE.build(loop.material.base)
    batches = loop.material.drawn(loop.batch_size, seed=1)
    lengths = [[len(row) for row in rows] for _ in range(20) for rows in rows_of(module, next(batches))]
    return {
        "useful": sum(map(sum, lengths)) / 20,
        "padded": sum(len(rows) * max(rows) for rows in lengths) / 20,
    }


def ratios(measured: dict[str, Any]) -> list[Ratio]:
    """By how much ours is faster than the plain loop."""
    speeds = measured["examples_per_second"]
    claim = CLAIMS[has_fast_bf16(torch.device("cpu"))] if measured["claimed"] else None
    return [Ratio.of("training a poly-encoder, against the plain loop", speeds[OURS], speeds[PLAIN], at_least=claim)]


def shown(measured: dict[str, Any]) -> str:
    """The table."""
    speeds = measured["examples_per_second"]
    read = measured["tokens"]
    names = {
        OURS: f"ours, {'bf16' if measured['bf16'] else 'fp32'}",
        PLAIN: "padded to the longest, fp32, random batches",
    }
    rows = [[names[name], f"{statistics.median(runs):,.1f}"] for name, runs in speeds.items()]
    batches = f"batches of {measured['batch_size']}: {read['useful']:,.0f} tokens, {read['padded']:,.0f} with padding"
    return table([f"training a poly-encoder on {measured['data']}, {batches}", "examples/s"], rows)

"""Batches of contexts and responses in, a trained selector out: what all LightningModules of selectors share."""

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from convmodel.metrics.ranking import ranks_of
from convmodel.models.card import ModelCard
from convmodel.models.selection.losses import pool_losses
from convmodel.models.selection.registry import SELECTOR
from convmodel.models.selection.selector import Selector
from convmodel.tokens.selection_dataset import Ids, TokenisedChoice
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.training.checkpoint_tokenizer import tokenizer_files, tokenizer_from
from convmodel.training.datamodules.conversation import LearnVocabulary
from convmodel.training.datamodules.selection import SelectionBatch
from convmodel.training.distributed import summed_over_processes
from convmodel.training.optimization import OptimizedModule, OptimizerName
from convmodel.training.progress import show
from convmodel.training.schedule import Schedule

SAMPLES = 3
"""Contexts whose chosen response is shown after each validation."""


@dataclass
class RankingSums:
    """What validations sum up: counts, and sums over examples."""

    examples: float = 0
    first: float = 0
    reciprocal: float = 0
    loss: float = 0

    def add(self, ranks: np.ndarray, losses: Tensor) -> None:
        """Counts examples."""
        self.examples += len(ranks)
        self.first += float((ranks == 1).sum())
        self.reciprocal += float((1 / ranks).sum())
        self.loss += float(losses.double().sum())


class SelectorModule(OptimizedModule):
    """What all modules that train selectors share.

    Args:
        pretrained_model_name_or_path: What is fine-tuned; None learns from scratch.
        cached_gradients: Keeps vectors and scores alone of a batch, and reads its texts again for their gradients: the
            same step with the memory of a small batch, in about a third more time. Source: arXiv:2101.06983.
        label_smoothing: The share of the target that is spread over all candidates.
        optimizer: "adamw", "adamax" (ParlAI's recipe) or "adadelta" (ConveRT's).
        learning_rate: The highest learning rate. When null, 5e-5 for what is pretrained, 0.001 from scratch, and 1 for
            ADADELTA.
        warmup_steps: Optimiser steps until it is reached.
        schedule: How it falls afterwards: "cosine", "linear", "constant", or "plateau", which takes 0.4 of it whenever
            a validation is no better than the best before.
        cycles: How often "cosine" and "linear" fall; each time but the first from the highest rate, without warm-up.
        weight_decay: Decay of matrices, embeddings among them; biases and layer norms are left alone.
        betas: The two averaging rates of AdamW and Adamax.
    """

    kind: ClassVar[type[Selector]]
    """What is trained."""

    monitor = "val_recall"
    """What the best model is the best by: the share of responses that come first in their pool."""

    higher_is_better = True
    max_context: int
    """Tokens of a context at most, its persona among them."""

    def __init__(
        self,
        pretrained_model_name_or_path: str | None = None,
        cached_gradients: bool = False,
        label_smoothing: float = 0.0,
        optimizer: OptimizerName = "adamw",
        learning_rate: float | None = None,
        warmup_steps: int = 100,
        schedule: Schedule = "cosine",
        cycles: int = 1,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.95),
    ) -> None:
        pretrained = pretrained_model_name_or_path
        usual = 1.0 if optimizer == "adadelta" else 1e-3 if pretrained is None else 5e-5
        super().__init__(
            optimizer=optimizer,
            learning_rate=usual if learning_rate is None else learning_rate,
            warmup_steps=warmup_steps,
            schedule=schedule,
            cycles=cycles,
            weight_decay=weight_decay,
            betas=betas,
        )
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"model.label_smoothing={label_smoothing}; allowed are 0.0 and more, below 1.0")
        self.save_hyperparameters()
        plain = {name: asdict(cast(Any, value)) for name, value in self.hparams.items() if is_dataclass(value)}
        self.hparams.update(**plain, betas=list(betas))  # a checkpoint holds plain values alone
        self._recompute, self._smoothing = cached_gradients, label_smoothing
        self._pretrained = self._base_model = pretrained
        self._selector: Selector | None = None
        self._tokenizer: TextTokenizer | None = None
        self._options: dict[str, Any] | None = None
        self._pools, self._pool = RankingSums(), 0
        self._samples: list[tuple[Sequence[str], str]] = []

    # What is trained

    @property
    def base_model(self) -> str | None:
        """What is fine-tuned; None for a model from scratch."""
        return self._base_model

    @property
    def selector(self) -> Selector:
        """The model as it is now."""
        assert self._selector is not None, "Lightning calls configure_model first"
        return self._selector

    @abstractmethod
    def new_selector(self, tokenizer: TextTokenizer) -> Selector:
        """Makes the selector from scratch."""

    @abstractmethod
    def fine_tuned_selector(self, source: str) -> Selector:
        """Makes the selector of something pretrained that is no selector of this kind."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Tokens of a vocabulary from scratch at most."""

    def load_tokenizer(self, learn: LearnVocabulary) -> TextTokenizer:
        """The tokenizer of the checkpoint or of the pretrained model, or one that `learn` makes."""
        if self._tokenizer is None:
            if self._pretrained is not None:
                self._tokenizer = self._fine_tuned().tokenizer
            else:
                self._tokenizer = learn(self.vocab_size, self.kind.tokenizer_class)
        return self._tokenizer

    def _fine_tuned(self) -> Selector:
        if self._selector is None:
            source = str(self._pretrained)
            if (Path(source) / SELECTOR).is_file():
                found = Selector.from_pretrained(source, device="cpu", dtype="float32")
                if type(found) is self.kind:
                    self._selector = found
                    self._read_as(found.options())
                    rank_zero_info(f"model: goes on from {source}, with its own layout and sizes")
                    return found
            self._selector = self.fine_tuned_selector(source)
        return self._selector

    def _read_as(self, options: dict[str, Any]) -> None:
        """Contexts are as long as those of the model that is trained further, whatever ours were to be."""
        self.max_context = options.get("max_context", self.max_context)

    def restore_from(self, checkpoint: dict[str, Any]) -> None:
        """Takes the tokenizer and the sizes from a checkpoint, so that neither vocabulary nor base model is needed."""
        kept = checkpoint["convmodel"]
        self._tokenizer = tokenizer_from(kept["tokenizer"], self.kind.tokenizer_class)
        self._options, self._base_model = kept["options"], kept["base_model"]
        self._read_as(kept["options"])

    def configure_model(self) -> None:
        """Builds the selector: from the checkpoint's options, the pretrained weights, or from scratch."""
        if hasattr(self, "network"):
            return
        assert self._tokenizer is not None, "the data module asks for the tokenizer first"
        if self._options is not None:
            self._selector = self.kind.build(self._tokenizer, self._options)
        elif self._pretrained is not None:
            self._fine_tuned()
        else:
            self._selector = self.new_selector(self._tokenizer)
        self.network = self.selector.network.train()
        sizes = f"{self.selector.parameters():,} parameters, {len(self._tokenizer):,} tokens"
        rank_zero_info(f"model: {self.kind.kind}, {sizes}, {self._base_model or 'from scratch'}")

    def export(self, folder: str | os.PathLike[str], *, card: ModelCard, weights: dict[str, Tensor]) -> None:
        """Saves the model. Its weights are whole on every process: selectors are not sharded."""
        self.selector.save_pretrained(folder, card=card)

    def told(self, best: float) -> dict[str, float | int]:
        """The numbers of a model card whose best validation came to `best`."""
        return {f"validation R_{self._pool}@1": best}

    # Loss

    @abstractmethod
    def batch_loss(self, examples: Sequence[TokenisedChoice]) -> Tensor:
        """The mean loss of at least one example, in nats."""

    @abstractmethod
    def pool_scores(self, examples: Sequence[TokenisedChoice], pools: Sequence[Sequence[Ids]]) -> Tensor:
        """Scores pools of equal size n: (B, n)."""

    def training_step(self, batch: SelectionBatch, batch_idx: int) -> Tensor:
        """The mean loss of the batch."""
        if not batch.examples:  # another process has one more: all take part in the step, and this one adds nothing
            return sum((weights.sum() * 0 for weights in self.network.parameters()), torch.zeros(()))
        loss = self.batch_loss(batch.examples)
        self.log("train_loss", loss.detach(), prog_bar=True, batch_size=1)
        return loss

    # Evaluation

    def on_validation_start(self) -> None:
        """Measure a checkpoint with the weights that its folder would hold; ConveRT's are saved in 16 and 8 bits."""
        if self.trainer.state.fn != "fit":
            self.selector.load_weights(self.selector.weights(), Path("the checkpoint"))

    on_test_start = on_validation_start

    def on_validation_epoch_start(self) -> None:
        """Starts the counts over."""
        self._pools, self._pool, self._samples = RankingSums(), 0, []

    on_test_epoch_start = on_validation_epoch_start

    @torch.no_grad()
    def validation_step(self, batch: SelectionBatch, batch_idx: int) -> None:
        """Ranks each response in its pool; nothing is divided before the end."""
        if not batch.examples:
            return
        pools, there = pad_pools([[one.response, *one.distractors] for one in batch.examples])
        self._pool = max(self._pool, there.shape[1])
        with self.full_precision():
            scores = self.pool_scores(batch.examples, pools).float().cpu()
        kept = scores.masked_fill(~there, -torch.inf)
        losses = pool_losses(scores, there, torch.zeros(len(scores), dtype=torch.long))
        told = there.sum(1) > 1
        ranks = ranks_of(kept[told].numpy(), np.zeros(int(told.sum()), dtype=np.int64))
        self._pools.add(ranks, losses[told])
        if not batch_idx:
            best = kept.argmax(1)
            chosen = zip(batch.examples, (pool[n] for pool, n in zip(pools, best.tolist(), strict=True)), strict=True)
            self._samples = [self._sample(example, ids) for example, ids in islice(chosen, SAMPLES)]

    test_step = validation_step

    def _sample(self, example: TokenisedChoice, chosen: Ids) -> tuple[Sequence[str], str]:
        decode = self.selector.tokenizer.decode
        return [decode(ids) for ids in example.turns], decode(chosen)

    def on_validation_epoch_end(self) -> None:
        """Logs the share of responses that came first, their MRR and loss."""
        self._report("val")

    def on_test_epoch_end(self) -> None:
        """Logs the same for `test`."""
        self._report("test")

    def _report(self, prefix: Literal["val", "test"]) -> None:
        sums = RankingSums(*summed_over_processes(list(asdict(self._pools).values()), self.trainer.strategy))
        if not sums.examples:
            rank_zero_info(f"{prefix}: no response has another candidate that says something else; nothing is ranked")
            return
        found = {"recall": sums.first, "mrr": sums.reciprocal, "loss": sums.loss}
        means = {name: value / sums.examples for name, value in found.items()}
        for name, value in means.items():
            self.log(f"{prefix}_{name}", value, prog_bar=name == "recall", batch_size=1, rank_zero_only=True)
        if prefix == "val":
            self.validated(means["recall"])
        if self.trainer.is_global_zero and not self.trainer.sanity_checking:
            self._show(means, int(sums.examples))

    def _show(self, means: dict[str, float], examples: int) -> None:
        head = f"step {self.trainer.global_step:,}, " if self.trainer.state.fn == "fit" else ""
        lines = [
            f"{head}R_{self._pool}@1 {means['recall']:.3f}, MRR {means['mrr']:.3f}, loss {means['loss']:.3f} "
            f"({examples:,} responses)",
            *(f"  {_end_of(' / '.join(context))}  ->  {chosen}" for context, chosen in self._samples),
        ]
        show(self.trainer, "\n".join(lines))

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what is needed to build the model again: plain texts and numbers only."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["convmodel"] = {
            "tokenizer": tokenizer_files(self.selector.tokenizer),
            "options": self.selector.options(),
            "base_model": self._base_model,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Builds the model when a checkpoint is loaded without a trainer."""
        super().on_load_checkpoint(checkpoint)
        if not hasattr(self, "network"):
            self.restore_from(checkpoint)
            self.configure_model()


def _end_of(text: str, width: int = 100) -> str:
    return text if len(text) <= width else f"...{text[3 - width :]}"


def pad_pools(pools: Sequence[Sequence[Ids]]) -> tuple[list[list[Ids]], Tensor]:
    """Pools filled up with their first candidate to the size of the largest, and (B, C) which candidates are theirs."""
    longest = max(map(len, pools))
    there = torch.arange(longest) < torch.tensor([[len(pool)] for pool in pools])
    return [[*pool, *[pool[0]] * (longest - len(pool))] for pool in pools], there

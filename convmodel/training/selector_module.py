"""Base of the LightningModules that train selectors: model, validation and checkpoints."""

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from convmodel.generation.request import derive_seed
from convmodel.metrics.ranking import ranks_of
from convmodel.models.card import ModelCard
from convmodel.models.lora import LORA_RATE, Lora, describe_parameters
from convmodel.models.selection.losses import pool_losses
from convmodel.models.selection.selector import Selector
from convmodel.models.selection.selector_files import SELECTOR
from convmodel.tokens.selection_dataset import TokenisedChoice
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.training.datamodules.base import ModelInputs
from convmodel.training.datamodules.selection import SelectionBatch
from convmodel.training.encoder_lora import add_lora, merged_selector
from convmodel.training.metrics import RankingSums, sum_over_processes
from convmodel.training.samples import show
from convmodel.training.selection_objectives import LossOptions, SelectionObjective, pad_pools
from convmodel.training.sharding import refuse_shards
from convmodel.training.training_module import OptimizerName, TrainingModule

SAMPLES = 3
"""Number of contexts whose selected response is shown after each validation."""


class SelectorModule(TrainingModule):
    """Base of the modules that train selectors.

    Args:
        pretrained_model_name_or_path: Model to fine-tune; null trains from scratch. An encoder or decoder of
            transformers by Hub name or folder (BERT, DistilBERT, GPT-2), a model of sentence-transformers, or the
            folder of a selector. Of a selector of another kind, the encoder is used.
        cached_gradients: Whether the texts of a batch are encoded twice, first without gradients. The optimiser step is
            the same, with the memory of a small batch and about a third more time. Source: arXiv:2101.06983.
        label_smoothing: Share of the target distribution that is spread over all candidates.
        lora: Sizes and layers of low-rank adapters, which alone are trained in the encoder; they are merged into the
            exported model. Null trains all weights.
        optimizer: "adamw", "adamax" (ParlAI's recipe) or "adadelta" (ConveRT's).
        options: See `TrainingModule`.
    """

    kind: ClassVar[type[Selector]]

    objective: SelectionObjective

    monitor = "val_recall"  # the share of responses ranked first in their pool
    higher_is_better = True
    next_step = "Let it choose replies from a list: python -m convmodel chat --selector {folder} --candidates FILE"
    max_context: int
    """Maximum number of tokens of a context, persona included."""

    def __init__(
        self,
        pretrained_model_name_or_path: str | None = None,
        cached_gradients: bool = False,
        label_smoothing: float = 0.0,
        optimizer: OptimizerName = "adamw",
        lora: Lora | None = None,
        **options: Any,
    ) -> None:
        default_rate = 1e-3 if pretrained_model_name_or_path is None else 5e-5
        lora = Lora(**lora) if isinstance(lora, dict) else lora  # a dict in a checkpoint
        if lora is not None:
            lora.check(pretrained_model_name_or_path)
            default_rate = LORA_RATE
        if optimizer == "adadelta":
            default_rate = 1.0
        super().__init__(
            pretrained_model_name_or_path, default_learning_rate=default_rate, optimizer_name=optimizer, **options
        )
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"model.label_smoothing={label_smoothing}; it must be at least 0.0 and below 1.0")
        self._lora = lora
        self.loss_options = LossOptions(cached_gradients, label_smoothing)
        self._selector: Selector | None = None
        self._restored_options: dict[str, Any] | None = None
        self._sums = RankingSums()
        self._pool_size = 0
        self._samples: list[tuple[Sequence[str], str]] = []

    # Model

    @property
    def selector(self) -> Selector:
        """Selector with its current weights."""
        assert self._selector is not None, "Lightning calls configure_model first"
        return self._selector

    @abstractmethod
    def new_selector(self, tokenizer: TextTokenizer) -> Selector:
        """Build a selector from scratch."""

    @abstractmethod
    def fine_tuned_selector(self, source: str) -> Selector:
        """Build a selector around a pretrained model, such as BERT or the encoder of a selector of another kind."""

    @property
    def tokenizer_class(self) -> type[TextTokenizer]:
        return self.kind.tokenizer_class

    def _load_tokenizer(self, source: str) -> TextTokenizer:
        return self._load_pretrained(source).tokenizer

    @property
    def inputs(self) -> ModelInputs:
        return ModelInputs("SelectionDataModule", self.max_context)

    def _load_pretrained(self, source: str) -> Selector:
        if self._selector is None:
            if (Path(source) / SELECTOR).is_file():
                pretrained = Selector.from_pretrained(source, device="cpu", dtype="float32")
                if type(pretrained) is self.kind:
                    self._selector = pretrained
                    self.max_context = pretrained.options().get("max_context", self.max_context)
                    rank_zero_info(f"model: continues from {source}, with its own layout and sizes")
                    return pretrained
            self._selector = self.fine_tuned_selector(source)
            self.max_context = self._selector.options().get("max_context", self.max_context)
        return self._selector

    def restore_from(self, checkpoint: dict[str, Any]) -> None:
        super().restore_from(checkpoint)
        state = checkpoint["convmodel"]
        self._restored_options = state["options"]
        self.max_context = state["options"].get("max_context", self.max_context)

    def configure_model(self) -> None:
        """Build the selector from the checkpoint's options, from pretrained weights, or from scratch."""
        if self._is_built:
            return
        if self._trainer is not None:
            refuse_shards(self.trainer, f"a {self.kind.kind}")
        tokenizer = self._required_tokenizer()
        if self._restored_options is not None:
            self._selector = self.kind.build(tokenizer, self._restored_options)
        elif self._pretrained is not None:
            self._load_pretrained(self._pretrained)
        else:
            self._selector = self.new_selector(tokenizer)
        if self._lora is not None:
            # Loading the model has drawn random numbers, and not the same ones with one process as with several.
            torch.manual_seed(derive_seed(os.environ.get("PL_GLOBAL_SEED", "0"), "adapters"))
            add_lora(self.selector.network, self._lora)
        self.network = self.selector.network.train()
        sizes = f"{describe_parameters(self.network)}, {len(tokenizer):,} tokens"
        rank_zero_info(f"model: {self.kind.kind}, {sizes}, {self.base_model or 'from scratch'}")

    def export(self, folder: str | os.PathLike[str], *, card: ModelCard, weights: dict[str, Tensor]) -> None:
        """Save the model with its card. Every process has all weights, so `weights` is not needed."""
        selector = self.selector if self._lora is None else merged_selector(self.selector)
        selector.save_pretrained(folder, card=card)

    def card_metrics(self, best: float) -> dict[str, float | int]:
        """Return the metrics shown on the model card; `best` is the best validation metric."""
        return {f"validation R_{self._pool_size}@1": best}

    # Loss

    def batch_loss(self, examples: Sequence[TokenisedChoice]) -> Tensor:
        """Return the loss in nats of this process's examples; see `SelectionObjective.batch_loss`."""
        return self.objective.batch_loss(self.selector, examples, step=self.global_step)

    def training_step(self, batch: SelectionBatch, batch_idx: int) -> Tensor:
        """Return the loss of the batch; its mean over the processes is that of their whole batch."""
        if not batch.examples:  # another process has one more batch; this one takes part with zero gradients
            zero = sum((weights.sum() * 0 for weights in self.network.parameters()), torch.zeros(()))
            return zero + self.batch_loss(batch.examples)
        loss = self.batch_loss(batch.examples)
        self.log("train_loss", loss.detach(), prog_bar=True, batch_size=1)
        return loss

    # Validation and test

    def on_validation_start(self) -> None:
        """Round the weights as an export does, so that `validate` and `test` measure the exported model.

        An export saves the weights of ConveRT in 16 and 8 bits.
        """
        if self.trainer.state.fn != "fit":
            self.selector.load_weights(self.selector.weights(), Path("the checkpoint"))

    on_test_start = on_validation_start

    def on_validation_epoch_start(self) -> None:
        self._sums = RankingSums()
        self._pool_size = 0
        self._samples = []

    @torch.no_grad()
    def validation_step(self, batch: SelectionBatch, batch_idx: int) -> None:
        """Rank each response in its pool, and add ranks and losses to the sums. Means are computed at the end."""
        if not batch.examples:
            return
        pools, mask = pad_pools([[example.response, *example.distractors] for example in batch.examples])
        self._pool_size = max(self._pool_size, mask.shape[1])
        with self.full_precision():
            scores = self.objective.pool_scores(self.selector, batch.examples, pools).float().cpu()
        masked_scores = scores.masked_fill(~mask, -torch.inf)
        losses = pool_losses(scores, mask, torch.zeros(len(scores), dtype=torch.long))
        rankable = mask.sum(1) > 1
        ranks = ranks_of(masked_scores[rankable].numpy(), np.zeros(int(rankable.sum()), dtype=np.int64))
        self._sums.add(ranks, losses[rankable])
        if not batch_idx:
            best = masked_scores.argmax(1).tolist()
            selected = (pool[index] for pool, index in zip(pools, best, strict=True))
            pairs = zip(batch.examples, selected, strict=True)
            decode = self.selector.tokenizer.decode
            self._samples = [
                ([decode(turn) for turn in example.turns], decode(ids)) for example, ids in islice(pairs, SAMPLES)
            ]

    def _report(self, prefix: Literal["val", "test"]) -> None:
        """Log recall@1, MRR and loss of a split, and print them with the samples."""
        sums = RankingSums(*sum_over_processes(list(asdict(self._sums).values()), self.trainer.strategy))
        if not sums.examples:
            rank_zero_info(f"{prefix}: no response has a candidate with another text; nothing is ranked")
            return
        totals = {"recall": sums.first, "mrr": sums.reciprocal, "loss": sums.loss}
        means = {name: total / sums.examples for name, total in totals.items()}
        for name, value in means.items():
            self.log(f"{prefix}_{name}", value, prog_bar=name == "recall", batch_size=1, rank_zero_only=True)
        if prefix == "val":
            self.update_plateau(means["recall"])
        if self.trainer.is_global_zero and not self.trainer.sanity_checking:
            self._show(means, int(sums.examples))

    def _show(self, means: dict[str, float], examples: int) -> None:
        head = f"step {self.trainer.global_step:,}, " if self.trainer.state.fn == "fit" else ""
        lines = [
            f"{head}R_{self._pool_size}@1 {means['recall']:.3f}, MRR {means['mrr']:.3f}, loss {means['loss']:.3f} "
            f"({examples:,} responses)",
            *(f"  {_end_of(' / '.join(context))}  ->  {selected}" for context, selected in self._samples),
        ]
        show(self.trainer, "\n".join(lines))

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save tokenizer, options and name of the base model as plain values, without pickled objects."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["convmodel"]["options"] = self.selector.options()

    @property
    def _is_built(self) -> bool:
        return hasattr(self, "network")


def _end_of(text: str, width: int = 100) -> str:
    return text if len(text) <= width else f"...{text[3 - width :]}"

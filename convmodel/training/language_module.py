"""Base of the LightningModules that train a model to generate text: losses, validation and test."""

import os
import random
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor

from convmodel.generation.causal_lm import hidden_states, linear_head
from convmodel.generation.request import derive_seed
from convmodel.metrics.likelihood import TokenCounts
from convmodel.models.language_model import LanguageModel
from convmodel.models.linear_cross_entropy import summed_cross_entropy, summed_loss
from convmodel.tokens.batching import Batch
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.training.datamodules.base import FilesDataModule, Split
from convmodel.training.metrics import PerplexityReport, perplexity_card, sum_token_counts
from convmodel.training.network_module import NetworkModule
from convmodel.training.sequence_unlikelihood import SequenceUnlikelihood, continue_rows, text_tokens
from convmodel.training.sharding import has_shards, refuse_shards
from convmodel.training.unlikelihood import OwnUnlikelihood, Unlikelihood, find_seen_tokens

ModelT = TypeVar("ModelT", bound=LanguageModel[Any])


class LanguageModule(NetworkModule[ModelT]):
    """Base of the modules that train a model to generate text.

    Args:
        pretrained_model_name_or_path: Hub name (gpt2) or folder of the language model to fine-tune; `from_scratch` is
            then ignored.
        unlikelihood_alpha: Weight of the token-level unlikelihood loss, which lowers the probability of repetition: at
            each position, it adds -log(1 - p) of each earlier token of the row. 1.0 in the paper; 0.0 disables it.
            Source: arXiv:1908.04319.
        sequence_unlikelihood: Options of the sequence-level unlikelihood loss, which is computed on texts that the
            model generates.
        options: See `NetworkModule`.
    """

    monitor = "val_loss"
    higher_is_better = False

    def __init__(
        self,
        pretrained_model_name_or_path: str | None = None,
        unlikelihood_alpha: float = 0.0,
        sequence_unlikelihood: SequenceUnlikelihood = SequenceUnlikelihood(),  # noqa: B008 (only read; shown in the printed config)
        **options: Any,
    ) -> None:
        if isinstance(sequence_unlikelihood, dict):
            sequence_unlikelihood = SequenceUnlikelihood(**sequence_unlikelihood)
        if unlikelihood_alpha < 0:
            raise ValueError(f"model.unlikelihood_alpha={unlikelihood_alpha}; it must be at least 0.0")
        sequence_unlikelihood.check()
        super().__init__(pretrained_model_name_or_path, **options)
        self._alpha = unlikelihood_alpha
        self._sequence_unlikelihood = sequence_unlikelihood
        self._window_tokens = torch.zeros(())
        self._counts = TokenCounts()

    card_metrics = staticmethod(perplexity_card)

    def on_fit_start(self) -> None:
        """Raise ValueError for unlikelihood with sharded weights: generation needs all weights in one process."""
        super().on_fit_start()
        if self._alpha:
            refuse_shards(self.trainer, f"model.unlikelihood_alpha={self._alpha}")
        share = self._sequence_unlikelihood.share
        if share and has_shards(self.trainer):
            raise ValueError(
                f"model.sequence_unlikelihood.share={share} with trainer.strategy=fsdp: texts are generated "
                "in one process, but each holds only a part of the weights; use ddp, or a share of 0"
            )

    # Loss

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the summed loss of a batch in nats, and the number of predicted tokens."""
        hidden, labels, predicted = self._predicted_states(batch)
        return summed_cross_entropy(*self._head(hidden), labels), predicted.sum()

    def _predicted_states(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return (N, D) hidden states and (N,) labels of the N predicted tokens, and their (B, T - 1) mask."""
        labels = batch["labels"][:, 1:]
        predicted = labels != IGNORED
        assert self.hf_model is not None
        states = hidden_states(self.hf_model, batch["input_ids"], batch.get("token_type_ids"))
        return states[:, :-1][predicted], labels[predicted], predicted

    def _head(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (N, D) inputs and the (V, D) weights of the output layer, whose product is the logits."""
        assert self.hf_model is not None
        return linear_head(self.hf_model, states)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the summed loss. `on_before_optimizer_step` divides its gradients by the tokens of the step."""
        total, tokens = self._sequence_loss(batch) if self._is_sequence_step else self._token_loss(batch)
        self._window_tokens = self._window_tokens.to(tokens.device) + tokens
        # Undo Lightning's division by the number of accumulated batches, so that all tokens have equal weight.
        return total * self.trainer.accumulate_grad_batches

    def _token_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the summed likelihood loss plus token-level unlikelihood loss, and the number of predicted tokens."""
        if not self._alpha:
            total, tokens = self(batch)
            loss = total.detach()
        else:
            hidden, labels, predicted = self._predicted_states(batch)
            ids = batch["input_ids"][:, :-1]
            tokens = predicted.sum()
            # Metadata and tokens of the layout are not penalised: every turn needs another separator.
            counted = text_tokens(batch, self._required_tokenizer().end_token_ids)[:, :-1]
            criterion = Unlikelihood(labels, find_seen_tokens(ids, counted), predicted, self._alpha)
            total = summed_loss(*self._head(hidden), criterion)
            loss = total.detach() - criterion.penalty
            self.log("train_unlikelihood", criterion.penalty / tokens.clamp(min=1), batch_size=1)
        self.log("train_loss", loss / tokens.clamp(min=1), prog_bar=True, batch_size=1)
        return total, tokens

    @property
    def _is_sequence_step(self) -> bool:
        """Whether this optimiser step uses the sequence-level loss; the same in all processes and in a resumed run."""
        if not self._sequence_unlikelihood.share:
            return False
        seed = derive_seed(os.environ.get("PL_GLOBAL_SEED", "0"), "own texts", self.trainer.global_step)
        return random.Random(seed).random() < self._sequence_unlikelihood.share

    def _sequence_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the summed sequence-level loss of continuations of a batch, and their number of repeated tokens."""
        assert self.hf_model is not None
        options = self._sequence_unlikelihood
        tokenizer = self._required_tokenizer()
        ends = tokenizer.end_token_ids
        several = isinstance(tokenizer, ConversationTokenizer) and tokenizer.layout.max_speakers > 2
        rows = continue_rows(self.hf_model, batch, options, end_token_ids=ends, several=several)
        candidates = rows.candidates(options.ngram, end_token_ids=ends)
        predicted = candidates[:, 1:]
        hidden = hidden_states(self.hf_model, rows.input_ids, rows.token_type_ids)[:, :-1][predicted]
        criterion = OwnUnlikelihood(rows.input_ids[:, 1:][predicted])
        total = summed_loss(*self._head(hidden), criterion)
        repeated = candidates.sum()
        self.log("train_repetition", repeated / rows.written.sum().clamp(min=1), prog_bar=True, batch_size=1)
        return total, repeated

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide summed gradients by the number of tokens of all batches and processes of the step."""
        tokens = self.trainer.strategy.reduce(self._window_tokens.float(), reduce_op="mean")
        self._window_tokens = torch.zeros_like(self._window_tokens)
        scale = 1.0 / cast(Tensor, tokens).clamp(min=1.0)
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        torch._foreach_mul_(gradients, scale)
        super().on_before_optimizer_step(optimizer)

    # Validation and test

    def on_validation_epoch_start(self) -> None:
        self._counts = TokenCounts()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add loss and number of tokens to the sums. The mean is computed once, at the end of the epoch."""
        with self.full_precision():
            total, tokens = self(batch)
        self._counts.add(float(total), int(tokens))

    def _report(self, prefix: Literal["val", "test"]) -> None:
        """Log loss per token and perplexity of a split; `validate` and `test` also print a table."""
        with_table = self.trainer.state.fn != "fit"
        counts = sum_token_counts(self._counts, self.trainer.strategy)
        if prefix == "val":
            self.update_plateau(-counts.loss)
        data = getattr(self.trainer, "datamodule", None)
        split: Split = "valid" if prefix == "val" else "test"
        stats = data.corpus_stats(split) if with_table and isinstance(data, FilesDataModule) else None
        report = PerplexityReport(counts, stats)
        for name, value in report.metrics.items():
            self.log(f"{prefix}_{name}", value, prog_bar=name == "loss", batch_size=1, rank_zero_only=True)
        if with_table and self.trainer.is_global_zero:
            print(report.table(), flush=True)

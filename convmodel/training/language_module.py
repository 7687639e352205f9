"""Base of the LightningModules that train a GPT-2: model, losses, validation and checkpoints."""

import os
import random
from dataclasses import asdict
from typing import Any, Generic, Literal, TypeVar, cast

import torch
from pytorch_lightning.strategies import FSDPStrategy
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from convmodel.generation.request import derive_seed
from convmodel.metrics.likelihood import TokenCounts
from convmodel.models.card import ModelCard
from convmodel.models.folder import checked_source
from convmodel.models.language_model import DROPOUTS, FromScratch, LanguageModel
from convmodel.models.linear_cross_entropy import summed_cross_entropy, summed_loss
from convmodel.models.loading import check_vocabulary, load_config, load_weights
from convmodel.tokens.batching import Batch
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.training.datamodules.base import FilesDataModule, Split
from convmodel.training.metrics import PerplexityReport, perplexity_card, sum_token_counts
from convmodel.training.sequence_unlikelihood import SequenceUnlikelihood, continue_rows, text_tokens
from convmodel.training.training_module import TrainingModule
from convmodel.training.unlikelihood import OwnUnlikelihood, Unlikelihood, find_seen_tokens

ModelT = TypeVar("ModelT", bound=LanguageModel[Any])


class LanguageModule(TrainingModule, Generic[ModelT]):
    """Base of the modules that train a GPT-2 to write.

    Args:
        pretrained_model_name_or_path: Hub name (gpt2) or folder of the model to fine-tune; `from_scratch` is then
            ignored.
        from_scratch: Sizes of a new model, if no pretrained one is given.
        unlikelihood_alpha: Weight of the token-level unlikelihood loss, which trains against repetition: -log(1 - p) of
            each earlier token of the row is added to the loss of each step. 1.0 in the paper, 0.0 disables it. Source:
            arXiv:1908.04319.
        sequence_unlikelihood: Options of the sequence-level unlikelihood loss, on texts that the model generates.
        options: See `TrainingModule`.
    """

    model_class: type[ModelT]
    """Class of the trained and exported model."""

    monitor = "val_loss"
    higher_is_better = False

    def __init__(
        self,
        pretrained_model_name_or_path: str | None = None,
        from_scratch: FromScratch = FromScratch(),  # noqa: B008 (only read; shown in the printed config)
        unlikelihood_alpha: float = 0.0,
        sequence_unlikelihood: SequenceUnlikelihood = SequenceUnlikelihood(),  # noqa: B008 (only read, as above)
        **options: Any,
    ) -> None:
        if isinstance(from_scratch, dict):  # from a checkpoint
            from_scratch = FromScratch(**from_scratch)
        if isinstance(sequence_unlikelihood, dict):
            sequence_unlikelihood = SequenceUnlikelihood(**sequence_unlikelihood)
        if unlikelihood_alpha < 0:
            raise ValueError(f"model.unlikelihood_alpha={unlikelihood_alpha}; it must be at least 0.0")
        sequence_unlikelihood.check()
        if pretrained_model_name_or_path is None and from_scratch.n_embd % from_scratch.n_head:
            raise ValueError(
                f"model.from_scratch.n_head={from_scratch.n_head} does not divide n_embd={from_scratch.n_embd}"
            )
        default_rate = min(0.003, 0.768 / from_scratch.n_embd) if pretrained_model_name_or_path is None else 5e-5
        super().__init__(
            pretrained_model_name_or_path, default_learning_rate=default_rate, optimizer_name="adamw", **options
        )
        self._alpha = unlikelihood_alpha
        self._sequence_unlikelihood = sequence_unlikelihood
        self._from_scratch = from_scratch
        self.hf_model: GPT2LMHeadModel | None = None
        self._config: GPT2Config | None = None
        self._extra_config: dict[str, Any] | None = None
        self._window_tokens = torch.zeros(())
        self._restored = False
        self._counts = TokenCounts()

    # Model

    @property
    def n_positions(self) -> int:
        """Maximum number of tokens in the model's window."""
        if self._config is None and self._pretrained is not None:
            self._config = load_config(checked_source(self._pretrained))
        return int(self._config.n_positions) if self._config is not None else self._from_scratch.n_positions

    @property
    def extra_config(self) -> dict[str, Any]:
        """Options of the model's class beside the transformers config, from the checkpoint or the pretrained folder."""
        if self._extra_config is None:
            source = self._pretrained
            self._extra_config = {} if source is None else self.model_class.read_extra_config(checked_source(source))
        return self._extra_config

    @property
    def tokenizer_class(self) -> type[TextTokenizer]:
        return self.model_class.tokenizer_class

    def _load_tokenizer(self, source: str) -> TextTokenizer:
        return self.tokenizer_class.from_pretrained(checked_source(source))

    @property
    def vocab_size(self) -> int:
        """Maximum size of a learned vocabulary."""
        return self._from_scratch.vocab_size

    def restore_from(self, checkpoint: dict[str, Any]) -> None:
        super().restore_from(checkpoint)
        state = checkpoint["convmodel"]
        self._config = GPT2Config(**state["config"])
        self._extra_config = dict(state.get("more", {}))
        if self.base_model is None:  # the weights fix the sizes, but not dropout
            self._config.update({name: getattr(self._from_scratch, name) for name in DROPOUTS})
        self._restored = True

    def configure_model(self) -> None:
        """Build the GPT-2 from the checkpoint's sizes, from pretrained weights, or from scratch."""
        unattached = self._trainer is None and self._tokenizer is None  # `on_load_checkpoint` will follow
        if self.hf_model is not None or unattached:
            return
        tokenizer = self._required_tokenizer()
        if self._restored:
            assert self._config is not None
            model = GPT2LMHeadModel(self._config)
        elif self._pretrained is not None:
            source = checked_source(self._pretrained)
            model = cast(
                GPT2LMHeadModel, load_weights(GPT2LMHeadModel, source, load_config(source), dtype=torch.float32)
            )
            check_vocabulary(source, tokenizer.hf_tokenizer, len(model.transformer.wte.weight), may_be_new=True)
        else:
            sizes = asdict(self._from_scratch) | {"vocab_size": len(tokenizer)}
            sep = tokenizer.sep_token_id
            model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=sep, eos_token_id=sep, pad_token_id=sep))
        self.hf_model = self.model_class(model, tokenizer, **self.extra_config).hf_model.train()
        config = self.hf_model.config
        rank_zero_info(
            f"model: GPT-2, {self.hf_model.num_parameters():,} parameters, {config.n_layer} x {config.n_embd}, "
            f"{config.vocab_size:,} tokens, {self.base_model or 'from scratch'}"
        )

    def on_fit_start(self) -> None:
        """Refuse sequence-level unlikelihood with FSDP: generating needs all weights in one process."""
        share = self._sequence_unlikelihood.share
        if share and isinstance(self.trainer.strategy, FSDPStrategy):
            raise ValueError(
                f"model.sequence_unlikelihood.share={share} with trainer.strategy=fsdp: no model can write "
                "where each process holds a part of its weights; use ddp, or a share of 0"
            )

    def language_model(self) -> ModelT:
        """Return the model with its current weights, ready to generate."""
        assert self.hf_model is not None and self._tokenizer is not None
        return self.model_class(self.hf_model, self._tokenizer, **self.extra_config)

    def export(self, folder: str | os.PathLike[str], *, card: ModelCard, weights: dict[str, Tensor]) -> None:
        """Save the model; its `weights` were gathered from all processes."""
        prefix = "hf_model."
        state_dict = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
        self.language_model().save_pretrained(folder, card=card, state_dict=state_dict)

    card_metrics = staticmethod(perplexity_card)

    # Loss

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the summed loss of a batch in nats, and the number of predicted tokens."""
        hidden, labels, predicted = self._predicted_states(batch)
        return summed_cross_entropy(hidden, self._output_embeddings, labels), predicted.sum()

    def _predicted_states(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return (N, D) states and (N,) labels of the N predicted tokens, and the (B, T - 1) mask of their steps."""
        labels = batch["labels"][:, 1:]
        predicted = labels != IGNORED
        states = self._hidden_states(batch["input_ids"], batch.get("token_type_ids"))
        return states[:, :-1][predicted], labels[predicted], predicted

    def _hidden_states(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        assert self.hf_model is not None
        states: Tensor = self.hf_model.transformer(
            input_ids=input_ids, token_type_ids=token_type_ids, use_cache=False
        ).last_hidden_state
        return states

    @property
    def _output_embeddings(self) -> Tensor:
        """Output embeddings (V, D)."""
        assert self.hf_model is not None
        return cast(Tensor, self.hf_model.lm_head.weight)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the summed loss; `on_before_optimizer_step` divides its gradients by the tokens of the step."""
        total, tokens = self._sequence_loss(batch) if self._is_sequence_step else self._token_loss(batch)
        self._window_tokens = self._window_tokens.to(tokens.device) + tokens
        # Undo Lightning's division by the number of accumulated batches: tokens, not batches, have equal weight.
        return total * self.trainer.accumulate_grad_batches

    def _token_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the likelihood loss with the token-level unlikelihood penalty, and the number of predicted tokens."""
        if not self._alpha:
            total, tokens = self(batch)
            loss = total.detach()
        else:
            hidden, labels, predicted = self._predicted_states(batch)
            ids = batch["input_ids"][:, :-1]
            tokens = predicted.sum()
            # Neither metadata, nor the tokens of the layout: every turn needs another separator.
            counted = text_tokens(batch, self._required_tokenizer().end_token_ids)[:, :-1]
            criterion = Unlikelihood(labels, find_seen_tokens(ids, counted), predicted, self._alpha)
            total = summed_loss(hidden, self._output_embeddings, criterion)
            loss = total.detach() - criterion.penalty
            self.log("train_unlikelihood", criterion.penalty / tokens.clamp(min=1), batch_size=1)
        self.log("train_loss", loss / tokens.clamp(min=1), prog_bar=True, batch_size=1)
        return total, tokens

    @property
    def _is_sequence_step(self) -> bool:
        """Whether this optimiser step is sequence-level: the same in all processes, and in a resumed run."""
        if not self._sequence_unlikelihood.share:
            return False
        seed = derive_seed(os.environ.get("PL_GLOBAL_SEED", "0"), "own texts", self.trainer.global_step)
        return random.Random(seed).random() < self._sequence_unlikelihood.share

    def _sequence_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the unlikelihood loss of the model's continuations of the batch, and the number of repeated tokens."""
        assert self.hf_model is not None
        options = self._sequence_unlikelihood
        ends = self._required_tokenizer().end_token_ids
        rows = continue_rows(self.hf_model, batch, options, end_token_ids=ends)
        candidates = rows.candidates(options.ngram, end_token_ids=ends)
        predicted = candidates[:, 1:]
        hidden = self._hidden_states(rows.input_ids, rows.token_type_ids)[:, :-1][predicted]
        criterion = OwnUnlikelihood(rows.input_ids[:, 1:][predicted])
        total = summed_loss(hidden, self._output_embeddings, criterion)
        repeated = candidates.sum()
        self.log("train_repetition", repeated / rows.written.sum().clamp(min=1), prog_bar=True, batch_size=1)
        return total, repeated

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide summed gradients by the number of tokens of the step, over all batches and processes."""
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
        """Sum losses and tokens; they are divided once, at the end."""
        with self.full_precision():
            total, tokens = self(batch)
        self._counts.add(float(total), int(tokens))

    def _report(self, prefix: Literal["val", "test"]) -> None:
        """Log loss per token and perplexity of a file; `validate` and `test` also print a table."""
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

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save tokenizer, config and base model, as plain values alone."""
        assert self.hf_model is not None
        super().on_save_checkpoint(checkpoint)
        checkpoint["convmodel"] |= {"config": self.hf_model.config.to_diff_dict(), "more": self.extra_config}

    @property
    def _is_built(self) -> bool:
        return self.hf_model is not None

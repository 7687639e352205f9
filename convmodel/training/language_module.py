"""Batches in, a trained GPT-2 out: what all LightningModules of models that write share."""

import os
import random
from dataclasses import asdict
from typing import Any, Generic, TypeVar, cast

import torch
from pytorch_lightning.strategies import FSDPStrategy
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from convmodel.generation.seeds import derive_seed
from convmodel.models.card import ModelCard
from convmodel.models.folder import checked_source, load_config
from convmodel.models.language_model import DROPOUTS, FromScratch, LanguageModel
from convmodel.models.linear_cross_entropy import summed_cross_entropy, summed_loss
from convmodel.tokens.batching import Batch
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.training.checkpoint_tokenizer import tokenizer_files, tokenizer_from
from convmodel.training.datamodules.conversation import LearnVocabulary
from convmodel.training.perplexity import PerplexityModule
from convmodel.training.schedule import Schedule
from convmodel.training.sequence_unlikelihood import SequenceUnlikelihood, continue_rows
from convmodel.training.unlikelihood import OwnUnlikelihood, Unlikelihood, seen_before

ModelT = TypeVar("ModelT", bound=LanguageModel[Any])


class LanguageModule(PerplexityModule, Generic[ModelT]):
    """What all modules that train models that write share.

    Args:
        pretrained_model_name_or_path: A Hub name (gpt2) or a folder to fine-tune; then `from_scratch` is not used.
        from_scratch: The sizes of a new model, used when no pretrained one is named.
        learning_rate: The highest learning rate of AdamW. When null, 5e-5 for a pretrained model, and from scratch
            0.003, or 0.768 / n_embd for one wider than 256.
        warmup_steps: Optimiser steps until it is reached.
        schedule: How it falls afterwards: "cosine", "linear", "constant", or "plateau", which takes 0.4 of it whenever
            a validation is no better than the best before.
        cycles: How often "cosine" and "linear" fall; each time but the first from the highest rate, without warm-up.
        weight_decay: AdamW's decay of matrices, embeddings among them; biases and layer norms are left alone.
        betas: AdamW's two averaging rates.
        unlikelihood_alpha: How much is learned not to repeat: at each step -log(1 - p) of every token that stood
            before in the row is added, times this; 1.0 in the paper, 0.0 is off. Source: arXiv:1908.04319.
        sequence_unlikelihood: The same for what the model repeats in texts of its own, in some of the steps.
    """

    model_class: type[ModelT]
    """What is trained, and exported; it knows what lays texts out for it."""

    def __init__(
        self,
        pretrained_model_name_or_path: str | None = None,
        from_scratch: FromScratch = FromScratch(),  # noqa: B008 (only read; shown in the printed config)
        learning_rate: float | None = None,
        warmup_steps: int = 100,
        schedule: Schedule = "cosine",
        cycles: int = 1,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.95),
        unlikelihood_alpha: float = 0.0,
        sequence_unlikelihood: SequenceUnlikelihood = SequenceUnlikelihood(),  # noqa: B008 (only read, as above)
    ) -> None:
        if isinstance(from_scratch, dict):  # as a checkpoint holds it
            from_scratch = FromScratch(**from_scratch)
        if isinstance(sequence_unlikelihood, dict):
            sequence_unlikelihood = SequenceUnlikelihood(**sequence_unlikelihood)
        if unlikelihood_alpha < 0:
            raise ValueError(f"model.unlikelihood_alpha={unlikelihood_alpha}; allowed are 0.0 and more")
        sequence_unlikelihood.check()
        if pretrained_model_name_or_path is None and from_scratch.n_embd % from_scratch.n_head:
            raise ValueError(
                f"model.from_scratch.n_head={from_scratch.n_head} does not divide n_embd={from_scratch.n_embd}"
            )
        usual = min(0.003, 0.768 / from_scratch.n_embd) if pretrained_model_name_or_path is None else 5e-5
        super().__init__(
            optimizer="adamw",
            learning_rate=usual if learning_rate is None else learning_rate,
            warmup_steps=warmup_steps,
            schedule=schedule,
            cycles=cycles,
            weight_decay=weight_decay,
            betas=betas,
        )
        self.save_hyperparameters()
        self.hparams.update(
            from_scratch=asdict(from_scratch),
            betas=list(betas),
            sequence_unlikelihood=asdict(sequence_unlikelihood),
        )
        self._alpha, self._own = unlikelihood_alpha, sequence_unlikelihood
        self._pretrained, self._from_scratch = pretrained_model_name_or_path, from_scratch
        self.hf_model: GPT2LMHeadModel | None = None
        self._tokenizer: TextTokenizer | None = None
        self._config: GPT2Config | None = None
        self._base_model = pretrained_model_name_or_path
        self._more: dict[str, Any] | None = None
        self._window_tokens = torch.zeros(())
        self._restored = False

    # What is trained

    @property
    def base_model(self) -> str | None:
        """What is fine-tuned; None for a model from scratch."""
        return self._base_model

    @property
    def n_positions(self) -> int:
        """Tokens that the model can read at once."""
        if self._config is None and self._pretrained is not None:
            self._config = load_config(checked_source(self._pretrained))
        return int(self._config.n_positions) if self._config is not None else self._from_scratch.n_positions

    @property
    def extra_config(self) -> dict[str, Any]:
        """What the model says beside transformers' files, as options of its class: the checkpoint's or folder's."""
        if self._more is None:
            named = self._pretrained
            self._more = {} if named is None else self.model_class.read_extra_config(checked_source(named))
        return self._more

    def load_tokenizer(self, learn: LearnVocabulary) -> TextTokenizer:
        """The tokenizer of the checkpoint or the pretrained model, or one that `learn` makes."""
        if self._tokenizer is None:
            tokenizer_class = self.model_class.tokenizer_class
            if self._pretrained is not None:
                self._tokenizer = tokenizer_class.from_pretrained(checked_source(self._pretrained))
            else:
                self._tokenizer = learn(self._from_scratch.vocab_size, tokenizer_class)
        return self._tokenizer

    def restore_from(self, checkpoint: dict[str, Any]) -> None:
        """Takes the tokenizer and the sizes from a checkpoint, so that neither vocabulary nor base model is needed."""
        kept = checkpoint["convmodel"]
        self._tokenizer = tokenizer_from(kept["tokenizer"], self.model_class.tokenizer_class)
        self._config = GPT2Config(**kept["config"])
        self._more = dict(kept.get("more", {}))
        self._base_model = kept["base_model"]
        if self._base_model is None:  # sizes are fixed by the weights, dropout is not
            self._config.update({name: getattr(self._from_scratch, name) for name in DROPOUTS})
        self._restored = True

    def configure_model(self) -> None:
        """Builds the GPT-2: from the checkpoint's sizes, the pretrained weights, or from scratch."""
        unattached = self._trainer is None and self._tokenizer is None  # `on_load_checkpoint` will follow
        if self.hf_model is not None or unattached:
            return
        assert self._tokenizer is not None, "the data module asks for the tokenizer first"
        if self._restored:
            assert self._config is not None
            model = GPT2LMHeadModel(self._config)
        elif self._pretrained is not None:
            model = self.model_class.from_pretrained(self._pretrained, device="cpu", dtype=torch.float32).hf_model
        else:
            sizes = asdict(self._from_scratch) | {"vocab_size": len(self._tokenizer)}
            sep = self._tokenizer.sep_token_id
            model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=sep, eos_token_id=sep, pad_token_id=sep))
        self.hf_model = self.model_class(model, self._tokenizer, **self.extra_config).hf_model.train()
        rank_zero_info(f"model: {self._describe()}")

    def _describe(self) -> str:
        assert self.hf_model is not None
        config = self.hf_model.config
        return (
            f"GPT-2, {self.hf_model.num_parameters():,} parameters, {config.n_layer} x {config.n_embd}, "
            f"{config.vocab_size:,} tokens, {self._base_model or 'from scratch'}"
        )

    def on_fit_start(self) -> None:
        """Refuses what no process could do alone."""
        if self._own.share and isinstance(self.trainer.strategy, FSDPStrategy):
            raise ValueError(
                f"model.sequence_unlikelihood.share={self._own.share} with trainer.strategy=fsdp: no model can write "
                "where each process holds a part of its weights; use ddp, or a share of 0"
            )

    def language_model(self) -> ModelT:
        """The model as it is now, ready to write."""
        assert self.hf_model is not None and self._tokenizer is not None
        return self.model_class(self.hf_model, self._tokenizer, **self.extra_config)

    def export(self, folder: str | os.PathLike[str], *, card: ModelCard, weights: dict[str, Tensor]) -> None:
        """Saves the model as it is in `weights`, which were gathered from all processes."""
        prefix = "hf_model."
        mine = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
        self.language_model().save_pretrained(folder, card=card, state_dict=mine)

    # Loss

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The summed loss of a batch in nats, and the number of predicted tokens."""
        hidden, wanted, chosen = self._read(batch)
        total = summed_cross_entropy(hidden, self._table, wanted)
        return total, chosen.sum()

    def _read(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(N, D) states and (N,) labels of the N tokens that are predicted, and (B, T - 1) the steps that do it."""
        wanted = batch["labels"][:, 1:]
        chosen = wanted != IGNORED
        return self._states(batch["input_ids"], batch.get("token_type_ids"))[:, :-1][chosen], wanted[chosen], chosen

    def _states(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        assert self.hf_model is not None
        states: Tensor = self.hf_model.transformer(
            input_ids=input_ids, token_type_ids=token_type_ids, use_cache=False
        ).last_hidden_state
        return states

    @property
    def _table(self) -> Tensor:
        """(V, D) the output embeddings."""
        assert self.hf_model is not None
        return self.hf_model.lm_head.weight

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the summed loss; what an optimiser step is divided by is known only at its end."""
        total, tokens = self._own_loss(batch) if self._unlearns else self._text_loss(batch)
        self._window_tokens = self._window_tokens.to(tokens.device) + tokens
        # Lightning divides by the number of accumulated batches; tokens, not batches, are to be weighted alike.
        return total * self.trainer.accumulate_grad_batches

    def _text_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the batch's tokens teach."""
        if not self._alpha:
            total, tokens = self(batch)
            loss = total.detach()
        else:
            hidden, wanted, chosen = self._read(batch)
            ids, tokens = batch["input_ids"][:, :-1], chosen.sum()
            # Neither the metadata nor what has to be said again and again: the separator, which also is the padding.
            places = torch.arange(ids.shape[1], device=ids.device)
            counted = (places >= batch["metadata"][:, None]) & (ids != self._sep)
            criterion = Unlikelihood(wanted, seen_before(ids, counted), chosen, self._alpha)
            total = summed_loss(hidden, self._table, criterion)
            loss = total.detach() - criterion.penalty
            self.log("train_unlikelihood", criterion.penalty / tokens.clamp(min=1), batch_size=1)
        self.log("train_loss", loss / tokens.clamp(min=1), prog_bar=True, batch_size=1)
        return total, tokens

    @property
    def _unlearns(self) -> bool:
        """Whether this optimiser step is one of the model's own texts: the same in all processes, and when resumed."""
        if not self._own.share:
            return False
        drawn = derive_seed(os.environ.get("PL_GLOBAL_SEED", "0"), "own texts", self.trainer.global_step)
        return random.Random(drawn).random() < self._own.share

    def _own_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the model's own continuations of the batch's beginnings teach, and how many tokens of them do."""
        assert self.hf_model is not None
        own = continue_rows(self.hf_model, batch, self._own, sep_token_id=self._sep)
        candidates = own.candidates(self._own.ngram, sep_token_id=self._sep)
        again = candidates[:, 1:]
        hidden = self._states(own.input_ids, own.token_type_ids)[:, :-1][again]
        total = summed_loss(hidden, self._table, OwnUnlikelihood(own.input_ids[:, 1:][again]))
        repeated = candidates.sum()
        self.log("train_repetition", repeated / own.written.sum().clamp(min=1), prog_bar=True, batch_size=1)
        return total, repeated

    @property
    def _sep(self) -> int:
        assert self._tokenizer is not None
        return self._tokenizer.sep_token_id

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Turns summed gradients into those of the mean over all tokens of the step, of all batches and processes."""
        tokens = self.trainer.strategy.reduce(self._window_tokens.float(), reduce_op="mean")
        self._window_tokens = torch.zeros_like(self._window_tokens)
        scale = 1.0 / cast(Tensor, tokens).clamp(min=1.0)
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        torch._foreach_mul_(gradients, scale)
        super().on_before_optimizer_step(optimizer)

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what is needed to build the model again: plain texts and numbers only."""
        assert self.hf_model is not None and self._tokenizer is not None
        super().on_save_checkpoint(checkpoint)
        checkpoint["convmodel"] = {
            "tokenizer": tokenizer_files(self._tokenizer),
            "config": self.hf_model.config.to_diff_dict(),
            "base_model": self._base_model,
            "more": self.extra_config,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Builds the model when a checkpoint is loaded without a trainer."""
        super().on_load_checkpoint(checkpoint)
        if self.hf_model is None:
            self.restore_from(checkpoint)
            self.configure_model()

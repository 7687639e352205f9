"""Batches in, a trained GPT-2 out: what all LightningModules of models that write share."""

import math
import os
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, cast

import torch
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from convmodel.batching import Batch
from convmodel.data import LearnVocabulary
from convmodel.layout import IGNORED
from convmodel.loss import summed_cross_entropy
from convmodel.metrics.likelihood import TokenCounts
from convmodel.model import ConversationModel
from convmodel.model_card import ModelCard
from convmodel.model_folder import checked_source, load_config
from convmodel.tokenizer import ConversationTokenizer
from convmodel.training.counting import over_all_processes
from convmodel.training.kept import tokenizer_files, tokenizer_from
from convmodel.training.optimising import OptimisedModule
from convmodel.training.schedule import Schedule


@dataclass
class FromScratch:
    """A new GPT-2, with a byte-level BPE vocabulary learned from the training file. Names as in GPT2Config.

    Args:
        n_layer: Blocks.
        n_head: Attention heads; they divide `n_embd`.
        n_embd: Width.
        n_positions: Tokens that the model can read at once, context and reply together.
        vocab_size: Tokens of the vocabulary at most.
        resid_pdrop: Dropout after each block's two parts.
        embd_pdrop: Dropout of the embeddings.
        attn_pdrop: Dropout of the attention weights. On a CPU it costs about a fifth of the speed.
    """

    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 256
    n_positions: int = 512
    vocab_size: int = 4096
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1


DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")


@dataclass(frozen=True)
class Texts:
    """What a file holds beside tokens.

    Args:
        noun: what it holds, in the plural.
        number: of them.
        units: what the loss is also divided by, by its name in the singular, such as words.
    """

    noun: str
    number: int
    units: Mapping[str, int] = field(default_factory=dict)


class WritingModule(OptimisedModule):
    """What all modules that train models that write share.

    Args:
        pretrained_model_name_or_path: A Hub name (gpt2) or a folder to fine-tune; then `from_scratch` is not used.
        from_scratch: The sizes of a new model, used when no pretrained one is named.
        learning_rate: The highest learning rate of AdamW. When null, 5e-5 for a pretrained model, and from scratch
            0.003, or 0.768 / n_embd for one wider than 256.
        warmup_steps: Optimiser steps until it is reached.
        schedule: How it falls afterwards: "cosine", "linear", "constant", or "plateau", which takes 0.4 of it whenever
            a validation is no better than the best before.
        weight_decay: AdamW's decay of matrices, embeddings among them; biases and layer norms are left alone.
        betas: AdamW's two averaging rates.
    """

    model_class: ClassVar[type[ConversationModel]]
    """What is trained, and exported."""

    tokenizer_class: ClassVar[type[ConversationTokenizer]]
    """What lays texts out for it."""

    monitor = "val_loss"
    """What the best model is the best by."""

    higher_is_better = False

    def __init__(
        self,
        pretrained_model_name_or_path: str | None = None,
        from_scratch: FromScratch = FromScratch(),  # noqa: B008 (only read; shown in the printed config)
        learning_rate: float | None = None,
        warmup_steps: int = 100,
        schedule: Schedule = "cosine",
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.95),
    ) -> None:
        if isinstance(from_scratch, dict):  # as a checkpoint holds it
            from_scratch = FromScratch(**from_scratch)
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
            weight_decay=weight_decay,
            betas=betas,
        )
        self.save_hyperparameters()
        self.hparams.update(from_scratch=asdict(from_scratch), betas=list(betas))
        self._pretrained, self._from_scratch = pretrained_model_name_or_path, from_scratch
        self.hf_model: GPT2LMHeadModel | None = None
        self._tokenizer: ConversationTokenizer | None = None
        self._config: GPT2Config | None = None
        self._base_model = pretrained_model_name_or_path
        self._window_tokens = torch.zeros(())
        self._counts = TokenCounts()
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

    def load_tokenizer(self, learn: LearnVocabulary) -> ConversationTokenizer:
        """The tokenizer of the checkpoint or the pretrained model, or one that `learn` makes."""
        if self._tokenizer is None:
            if self._pretrained is not None:
                self._tokenizer = self.tokenizer_class.from_pretrained(checked_source(self._pretrained))
            else:
                self._tokenizer = learn(self._from_scratch.vocab_size, self.tokenizer_class)
        return self._tokenizer

    def restore_from(self, checkpoint: dict[str, Any]) -> None:
        """Takes the tokenizer and the sizes from a checkpoint, so that neither vocabulary nor base model is needed."""
        kept = checkpoint["convmodel"]
        self._tokenizer = tokenizer_from(kept["tokenizer"], self.tokenizer_class)
        self._config = GPT2Config(**kept["config"])
        self._base_model = kept["base_model"]
        if self._base_model is None:  # sizes are fixed by the weights, dropout is not
            self._config.update({name: getattr(self._from_scratch, name) for name in DROPOUTS})
        self._restored = True

    def configure_model(self) -> None:
        """Builds the GPT-2: from the checkpoint's sizes, the pretrained weights, or from scratch."""
        if self.hf_model is not None:
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
        self.hf_model = self.model_class(model, self._tokenizer).hf_model.train()
        rank_zero_info(f"model: {self._describe()}")

    def _describe(self) -> str:
        assert self.hf_model is not None
        config = self.hf_model.config
        return (
            f"GPT-2, {self.hf_model.num_parameters():,} parameters, {config.n_layer} x {config.n_embd}, "
            f"{config.vocab_size:,} tokens, {self._base_model or 'from scratch'}"
        )

    def language_model(self) -> ConversationModel:
        """The model as it is now, ready to write."""
        assert self.hf_model is not None and self._tokenizer is not None
        return self.model_class(self.hf_model, self._tokenizer)

    def export(self, folder: str | os.PathLike[str], *, card: ModelCard, weights: dict[str, Tensor]) -> None:
        """Saves the model as it is in `weights`, which were gathered from all processes."""
        prefix = "hf_model."
        mine = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
        self.language_model().save_pretrained(folder, card=card, state_dict=mine)

    @staticmethod
    def told(best: float) -> dict[str, float | int]:
        """The numbers of a model card whose best validation came to `best`."""
        return {
            "validation loss (nats per predicted token)": best,
            "validation perplexity (per predicted token)": math.exp(min(best, 700)),
        }

    # Loss

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The summed loss of a batch in nats, and the number of predicted tokens."""
        assert self.hf_model is not None
        hidden = self.hf_model.transformer(
            input_ids=batch["input_ids"], token_type_ids=batch.get("token_type_ids"), use_cache=False
        ).last_hidden_state
        wanted = batch["labels"][:, 1:]
        chosen = wanted != IGNORED
        total = summed_cross_entropy(hidden[:, :-1][chosen], self.hf_model.lm_head.weight, wanted[chosen])
        return total, chosen.sum()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the summed loss; what an optimiser step is divided by is known only at its end."""
        total, tokens = self(batch)
        self._window_tokens = self._window_tokens.to(tokens.device) + tokens
        self.log("train_loss", total.detach() / tokens.clamp(min=1), prog_bar=True, batch_size=1)
        # Lightning divides by the number of accumulated batches; tokens, not batches, are to be weighted alike.
        return cast(Tensor, total * self.trainer.accumulate_grad_batches)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Turns summed gradients into those of the mean over all tokens of the step, of all batches and processes."""
        tokens = self.trainer.strategy.reduce(self._window_tokens.float(), reduce_op="mean")
        self._window_tokens = torch.zeros_like(self._window_tokens)
        scale = 1.0 / cast(Tensor, tokens).clamp(min=1.0)
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        torch._foreach_mul_(gradients, scale)
        super().on_before_optimizer_step(optimizer)

    # Evaluation

    def on_validation_epoch_start(self) -> None:
        """Starts the counts over."""
        self._counts = TokenCounts()

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Counts losses and tokens; nothing is divided before the end."""
        total, tokens = self(batch)
        self._counts.add(float(total), int(tokens))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        """Logs the loss per token over the whole set, and the perplexity; `validate` also prints a table."""
        self._report("val", "valid", with_table=self.trainer.state.fn == "validate")

    def on_test_epoch_end(self) -> None:
        """Logs the same for `test`, and prints a table."""
        self._report("test", "test", with_table=True)

    @abstractmethod
    def texts(self, split: Literal["valid", "test"]) -> Texts | None:
        """What a file that was set up holds beside tokens; None where the data module does not know."""

    def _report(self, prefix: str, split: Literal["valid", "test"], *, with_table: bool) -> None:
        counts = over_all_processes(self._counts, self.trainer.strategy)
        if prefix == "val":
            self.validated(-counts.loss)
        found = {"loss": counts.loss, "perplexity": counts.perplexity}
        texts = self.texts(split) if with_table else None
        units = {} if texts is None else texts.units
        found |= {f"perplexity_per_{unit}": TokenCounts(counts.total, n).perplexity for unit, n in units.items()}
        for name, value in found.items():
            self.log(f"{prefix}_{name}", value, prog_bar=name == "loss", batch_size=1, rank_zero_only=True)
        if with_table and self.trainer.is_global_zero:
            rows = {} if texts is None else {texts.noun: f"{texts.number:,}"}
            rows |= {
                "predicted tokens": f"{counts.tokens:,}",
                "loss (nats per token)": f"{counts.loss:.4f}",
                "perplexity per token": f"{counts.perplexity:,.3f}",
            }
            rows |= {f"perplexity per {unit}": f"{found[f'perplexity_per_{unit}']:,.3f}" for unit in units}
            wide = max(map(len, rows.values()))
            print("\n".join(["", *(f"  {name:<24}{value:>{wide}}" for name, value in rows.items()), ""]), flush=True)

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what is needed to build the model again: plain texts and numbers only."""
        assert self.hf_model is not None and self._tokenizer is not None
        super().on_save_checkpoint(checkpoint)
        checkpoint["convmodel"] = {
            "tokenizer": tokenizer_files(self._tokenizer),
            "config": self.hf_model.config.to_diff_dict(),
            "base_model": self._base_model,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Builds the model when a checkpoint is loaded without a trainer."""
        super().on_load_checkpoint(checkpoint)
        if self.hf_model is None:
            self.restore_from(checkpoint)
            self.configure_model()

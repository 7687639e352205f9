"""Batches of conversations in, a trained GPT-2 out: the LightningModule of models that write replies."""

import math
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import FSDPStrategy
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.optim import AdamW
from transformers import GPT2Config, GPT2LMHeadModel

from convmodel.batching import Batch
from convmodel.data import ConversationDataModule, LearnVocabulary
from convmodel.layout import IGNORED, TrainOn
from convmodel.loss import summed_cross_entropy
from convmodel.metrics.likelihood import TokenCounts
from convmodel.model import ConversationModel
from convmodel.model_folder import checked_source, load_config
from convmodel.seeds import mixed_seed
from convmodel.tokenizer import ConversationTokenizer
from convmodel.training.counting import over_all_processes
from convmodel.training.schedule import Schedule, learning_rate_at


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


class ConversationModule(LightningModule):
    """Trains a GPT-2 to write the next turn.

    Args:
        pretrained_model_name_or_path: A Hub name (gpt2) or a folder to fine-tune; then `from_scratch` is not used.
        from_scratch: The sizes of a new model, used when no pretrained one is named.
        learning_rate: The highest learning rate of AdamW. When null, 5e-5 for a pretrained model, and from scratch
            0.003, or 0.768 / n_embd for one wider than 256.
        warmup_steps: Optimiser steps until it is reached.
        schedule: How it falls afterwards: "cosine", "linear" or "constant".
        weight_decay: AdamW's decay of matrices, embeddings among them; biases and layer norms are left alone.
        betas: AdamW's two averaging rates.
        train_on: Which turns are predicted: "all", "last", or those of one speaker: "last_speaker" (who says the last
            turn, and whom a persona describes), "first_speaker", "second_speaker".
    """

    def __init__(
        self,
        pretrained_model_name_or_path: str | None = None,
        from_scratch: FromScratch = FromScratch(),  # noqa: B008 (only read; shown in the printed config)
        learning_rate: float | None = None,
        warmup_steps: int = 100,
        schedule: Schedule = "cosine",
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.95),
        train_on: TrainOn = "all",
    ) -> None:
        super().__init__()
        if isinstance(from_scratch, dict):  # as a checkpoint holds it
            from_scratch = FromScratch(**from_scratch)
        if pretrained_model_name_or_path is None and from_scratch.n_embd % from_scratch.n_head:
            raise ValueError(
                f"model.from_scratch.n_head={from_scratch.n_head} does not divide n_embd={from_scratch.n_embd}"
            )
        self.save_hyperparameters()
        self.hparams.update(from_scratch=asdict(from_scratch), betas=list(betas))
        self._pretrained, self._from_scratch = pretrained_model_name_or_path, from_scratch
        usual = min(0.003, 0.768 / from_scratch.n_embd) if pretrained_model_name_or_path is None else 5e-5
        self._learning_rate = usual if learning_rate is None else learning_rate
        self._warmup_steps, self._schedule = warmup_steps, schedule
        self._weight_decay, self._betas = weight_decay, (betas[0], betas[1])
        self.train_on: TrainOn = train_on
        self.hf_model: GPT2LMHeadModel | None = None
        self._tokenizer: ConversationTokenizer | None = None
        self._config: GPT2Config | None = None
        self._base_model = pretrained_model_name_or_path
        self._window_tokens = torch.zeros(())
        self._counts = TokenCounts()
        self._total_steps = math.inf
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
                self._tokenizer = ConversationTokenizer.from_pretrained(checked_source(self._pretrained))
            else:
                self._tokenizer = learn(self._from_scratch.vocab_size)
        return self._tokenizer

    def restore_from(self, checkpoint: dict[str, Any]) -> None:
        """Takes the tokenizer and the sizes from a checkpoint, so that neither vocabulary nor base model is needed."""
        kept = checkpoint["convmodel"]
        with tempfile.TemporaryDirectory() as folder:
            for name, text in kept["tokenizer"].items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
            self._tokenizer = ConversationTokenizer.from_pretrained(folder)
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
            model = ConversationModel.from_pretrained(self._pretrained, device="cpu", dtype=torch.float32).hf_model
        else:
            sizes = asdict(self._from_scratch) | {"vocab_size": len(self._tokenizer)}
            sep = self._tokenizer.sep_token_id
            model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=sep, eos_token_id=sep, pad_token_id=sep))
        self.hf_model = ConversationModel(model, self._tokenizer).hf_model.train()
        rank_zero_info(f"model: {self._describe()}")

    def _describe(self) -> str:
        assert self.hf_model is not None
        config = self.hf_model.config
        return (
            f"GPT-2, {self.hf_model.num_parameters():,} parameters, {config.n_layer} x {config.n_embd}, "
            f"{config.vocab_size:,} tokens, {self._base_model or 'from scratch'}"
        )

    def conversation_model(self) -> ConversationModel:
        """The model as it is now, ready to reply."""
        assert self.hf_model is not None and self._tokenizer is not None
        return ConversationModel(self.hf_model, self._tokenizer)

    # Loss

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The summed loss of a batch in nats, and the number of predicted tokens."""
        assert self.hf_model is not None
        hidden = self.hf_model.transformer(
            input_ids=batch["input_ids"], token_type_ids=batch["token_type_ids"], use_cache=False
        ).last_hidden_state
        wanted = batch["labels"][:, 1:]
        chosen = wanted != IGNORED
        total = summed_cross_entropy(hidden[:, :-1][chosen], self.hf_model.lm_head.weight, wanted[chosen])
        return total, chosen.sum()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Makes dropout a function of the step alone, so that a resumed run draws what the first would have drawn."""
        torch.manual_seed(
            mixed_seed(os.environ.get("PL_GLOBAL_SEED", "0"), self.current_epoch, batch_idx, self.global_rank)
        )

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
        rate = learning_rate_at(
            self.trainer.global_step,
            peak=self._learning_rate,
            warmup_steps=self._warmup_steps,
            total_steps=self._total_steps,
            schedule=self._schedule,
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        self.log("learning_rate", rate, batch_size=1)

    def configure_optimizers(self) -> AdamW:
        """AdamW; the schedule is a function of the step, see `on_before_optimizer_step`."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        return AdamW(
            [
                {"params": [p for p in parameters if p.dim() > 1], "weight_decay": self._weight_decay},
                {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
            ],
            lr=self._learning_rate,
            betas=self._betas,
            # With a gradient scaler, a fused step would undo the scaling only after the clipping.
            fused=self.device.type in ("cpu", "cuda") and self.trainer.precision != "16-mixed",
        )

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips as `trainer.gradient_clip_val` says; Lightning itself refuses to with a fused optimiser or FSDP."""
        if not gradient_clip_val:
            return
        if gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
        elif isinstance(self.trainer.strategy, FSDPStrategy):
            cast(FullyShardedDataParallel, self.trainer.strategy.model).clip_grad_norm_(gradient_clip_val)
        else:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def on_train_start(self) -> None:
        """Counts the steps to come, and lets this run's options win over those of a checkpoint's optimiser state.

        Counting any earlier would make Lightning build the loader before it can give it its place in the epoch.
        """
        self._total_steps = float(self.trainer.estimated_stepping_batches)
        if math.isinf(self._total_steps) and self._schedule != "constant":
            rank_zero_info("Neither max_epochs nor max_steps is set: the learning rate stays constant after warm-up")
        for group, decay in zip(self.trainer.optimizers[0].param_groups, (self._weight_decay, 0.0), strict=True):
            group["weight_decay"], group["betas"] = decay, self._betas

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

    def _report(self, prefix: str, split: Literal["valid", "test"], *, with_table: bool) -> None:
        counts = over_all_processes(self._counts, self.trainer.strategy)
        found = {"loss": counts.loss, "perplexity": counts.perplexity}
        data = getattr(self.trainer, "datamodule", None)
        windows = data.window_set(split) if with_table and isinstance(data, ConversationDataModule) else None
        if windows is not None:
            found["perplexity_per_word"] = TokenCounts(counts.total, windows.words()).perplexity
        for name, value in found.items():
            self.log(f"{prefix}_{name}", value, prog_bar=name == "loss", batch_size=1, rank_zero_only=True)
        if with_table and self.trainer.is_global_zero:
            rows = {} if windows is None else {"conversations": f"{windows.conversations:,}"}
            rows |= {
                "predicted tokens": f"{counts.tokens:,}",
                "loss (nats per token)": f"{counts.loss:.4f}",
                "perplexity per token": f"{counts.perplexity:,.3f}",
            }
            if windows is not None:
                rows["perplexity per word"] = f"{found['perplexity_per_word']:,.3f}"
            wide = max(map(len, rows.values()))
            print("\n".join(["", *(f"  {name:<24}{value:>{wide}}" for name, value in rows.items()), ""]), flush=True)

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what is needed to build the model again: plain texts and numbers only."""
        assert self.hf_model is not None and self._tokenizer is not None
        with tempfile.TemporaryDirectory() as folder:
            self._tokenizer.save_pretrained(folder)
            files = {file.name: file.read_text(encoding="utf-8") for file in Path(folder).iterdir()}
        checkpoint["convmodel"] = {
            "tokenizer": files,
            "config": self.hf_model.config.to_diff_dict(),
            "base_model": self._base_model,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Builds the model when a checkpoint is loaded without a trainer."""
        if self.hf_model is None:
            self.restore_from(checkpoint)
            self.configure_model()

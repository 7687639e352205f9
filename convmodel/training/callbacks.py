"""A model in training in; its replies and its best state out."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, cast

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import FSDPStrategy
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from convmodel.data import ConversationDataModule
from convmodel.model import ConversationModel
from convmodel.model_card import ModelCard
from convmodel.model_folder import check_replaceable
from convmodel.training.checkpoint import epochs_begun, run_folder
from convmodel.training.showing import show

Sample = tuple[Sequence[str], str]
"""A context and what was replied to it."""


class Replies(Protocol):
    """A LightningModule that can reply while it is trained."""

    def conversation_model(self) -> ConversationModel:
        """The model as it is now."""


class Exports(Protocol):
    """A LightningModule whose best state is exported."""

    monitor: str
    higher_is_better: bool
    hparams: Any

    @property
    def base_model(self) -> str | None:
        """What is fine-tuned; None for a model from scratch."""

    def export(self, folder: str | os.PathLike[str], *, card: ModelCard, weights: dict[str, Tensor]) -> None:
        """Saves the model with its card; `weights` were gathered from all processes."""

    def told(self, best: float) -> dict[str, float | int]:
        """The numbers of a model card whose best validation came to `best`."""


class ReplySamples(Callback):
    """Shows after each validation what a model that writes replies to some contexts, and keeps it in `generated.jsonl`.

    Args:
        contexts: What to reply to, each a list of turns; beginnings of the first validation conversations when null.
        number: How many contexts to take from the validation file.
        max_new_tokens: Tokens of a reply at most.
    """

    def __init__(self, contexts: list[list[str]] | None = None, number: int = 3, max_new_tokens: int = 40) -> None:
        self._contexts, self._number = contexts, number
        self._options: dict[str, Any] = {"do_sample": False, "max_new_tokens": max_new_tokens}
        self.latest: list[Sample] = []
        self._asked: list[tuple[Sequence[str], Sequence[str]]] | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replies on the first process; weights that are sharded over processes cannot reply there."""
        folder = run_folder(trainer)
        sharded = isinstance(trainer.strategy, FSDPStrategy)
        if (
            trainer.sanity_checking
            or not trainer.is_global_zero
            or sharded
            or not hasattr(pl_module, "conversation_model")
        ):
            return
        if self._asked is None:
            self._asked = list(self._questions(trainer))
        if not self._asked:
            return
        model = cast(Replies, pl_module).conversation_model()
        options = self._options | {"max_new_tokens": min(self._options["max_new_tokens"], model.n_positions // 2)}
        contexts, personas = [c for c, _ in self._asked], [p for _, p in self._asked]
        outputs = model.generate_batch(contexts, personas=personas, **options)
        self.latest = [(output.context, output.responses[0]) for output in outputs]
        lines = [
            {
                "step": trainer.global_step,
                "epoch": max(epochs_begun(trainer) - 1, 0),
                "options": options,
                "context": list(context),
                "persona": list(persona),
                "replies": output.responses,
            }
            for (context, persona), output in zip(self._asked, outputs, strict=True)
        ]
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "generated.jsonl", "a", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        self._show(trainer)

    def _questions(self, trainer: Trainer) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
        if self._contexts is not None:
            yield from ((context, ()) for context in self._contexts)
        elif isinstance(data := getattr(trainer, "datamodule", None), ConversationDataModule):
            for conversation in islice(data.conversations("valid"), self._number):
                yield conversation.turns[: max(1, min(3, len(conversation.turns) - 1))], conversation.persona

    def _show(self, trainer: Trainer) -> None:
        loss = trainer.callback_metrics.get("val_loss")
        head = f"step {trainer.global_step:,}" if trainer.state.fn == "fit" else "the model replies"
        head += "" if loss is None else f", validation loss {float(loss):.3f}"
        lines = [f"  {' / '.join(context)}  ->  {reply}" for context, reply in self.latest]
        show(trainer, "\n".join([head, *lines]))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                shown = "  \n".join(f"{' / '.join(context)} → **{reply}**" for context, reply in self.latest)
                logger.experiment.add_text("replies", shown, trainer.global_step)


class BestExport(Callback):
    """Puts the best model by validation into a folder, and replaces it in one step whenever a better one is found.

    Without validation data, the model of the end of training is exported.

    Args:
        folder: where; None exports nothing.
        samples: whose replies go into the model card.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, samples: ReplySamples) -> None:
        self._folder, self._samples = folder, samples
        self._best = math.inf
        self._exported = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds out before any training whether the folder can be written."""
        if self._folder is not None and stage == "fit":
            check_replaceable(self._folder)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Exports when the validation is the best so far."""
        module = cast(Exports, pl_module)
        if trainer.sanity_checking or trainer.state.fn != "fit" or module.monitor not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[module.monitor])
        better = value > self._best if module.higher_is_better else value < self._best
        if better or (math.isinf(self._best) and not math.isnan(value)):
            self._best = value
            self._export(trainer, module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Exports what was never validated, and says where the model is."""
        if not self._exported and math.isinf(self._best):
            self._export(trainer, cast(Exports, pl_module))
        if self._folder is not None:
            name = cast(Exports, pl_module).monitor.removeprefix("val_").replace("_", " ")
            best = "" if math.isinf(self._best) else f" (validation {name} {self._best:.4f})"
            rank_zero_info(f"The model is in {self._folder}{best}")

    def state_dict(self) -> dict[str, Any]:
        """The best validation, so that a resumed run does not replace a better model."""
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes it back."""
        self._best = state_dict["best"]

    def _export(self, trainer: Trainer, module: Exports) -> None:
        if self._folder is None:
            return
        weights = trainer.strategy.lightning_module_state_dict()  # gathered by all processes where it is sharded
        if trainer.is_global_zero:
            module.export(self._folder, card=self._card(trainer, module), weights=weights)
        self._exported = True
        trainer.strategy.barrier("exported")

    def _card(self, trainer: Trainer, module: Exports) -> ModelCard:
        numbers = {} if math.isinf(self._best) else module.told(self._best)
        numbers |= {"optimiser steps": trainer.global_step, "epochs": epochs_begun(trainer)}
        data = getattr(getattr(trainer, "datamodule", None), "described", {})
        return ModelCard(
            base_model=module.base_model,
            data=[f"{split}: {text}" for split, text in data.items()],
            numbers=numbers,
            training={name: value for name, value in module.hparams.items() if not name.startswith("_")},
            samples=self._samples.latest,
        )

"""A model in training in; what it writes after each validation out, shown and kept."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import FSDPStrategy

from convmodel.training.checkpoint import epochs_begun, run_folder
from convmodel.training.progress import show


@dataclass(frozen=True)
class SampleRequest:
    """What a person wants to see samples of.

    Args:
        contexts: to reply to.
        prompts: how documents begin, each with `prompt`, `meta` or both.
        number: how many to take from the validation file where neither is given.
    """

    contexts: Sequence[Sequence[str]] | None
    prompts: Sequence[Mapping[str, Any]] | None
    number: int


@dataclass(frozen=True)
class Sample:
    """What a model wrote.

    Args:
        shown: what it was asked, part by part.
        written: what it wrote.
        kept: both as they stand in `generated.jsonl`.
    """

    shown: Sequence[str]
    written: str
    kept: Mapping[str, Any]


class WritesSamples(Protocol):
    """A LightningModule that can write while it is trained."""

    @property
    def n_positions(self) -> int:
        """Tokens that the model can read at once."""

    def asked(self, asking: SampleRequest) -> Sequence[Any]:
        """What is asked after each validation."""

    def samples(self, asked: Sequence[Any], *, seeds: Sequence[int], options: Mapping[str, Any]) -> list[Sample]:
        """What the model writes now, with a seed for each and options of its `generate`."""


class ReplySamples(Callback):
    """Shows after each validation what a model that writes has to say, and keeps it in `generated.jsonl`.

    Args:
        contexts: What to reply to, each a list of turns; beginnings of the first validation conversations when null.
        prompts: For a model of documents, how they begin and what is known of them, each `{prompt: ..., meta: ...}` or
            one of both, such as `{meta: "Cats, dogs"}`; when null, beginnings of the first validation documents with
            their meta, and nothing at all.
        number: How many contexts or prompts to take from the validation file.
        max_new_tokens: Tokens of a reply or document at most.
        options: Further options of `generate`, such as `{do_sample: true, top_p: 0.9}`; each sample has the same seed
            after every validation.
    """

    def __init__(
        self,
        contexts: list[list[str]] | None = None,
        prompts: list[dict[str, Any]] | None = None,
        number: int = 3,
        max_new_tokens: int = 40,
        options: dict[str, Any] | None = None,
    ) -> None:
        self._asking = SampleRequest(contexts, prompts, number)
        self._options = {"do_sample": False, "max_new_tokens": max_new_tokens} | (options or {})
        self.latest: list[tuple[Sequence[str], str]] = []
        self._asked: Sequence[Any] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finds out before any training whether what is asked can be asked."""
        if hasattr(pl_module, "asked"):
            self._asked = cast(WritesSamples, pl_module).asked(self._asking)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes on the first process; weights that are sharded over processes cannot write there."""
        folder = run_folder(trainer)
        sharded = isinstance(trainer.strategy, FSDPStrategy)
        if trainer.sanity_checking or not trainer.is_global_zero or sharded or not hasattr(pl_module, "samples"):
            return
        module = cast(WritesSamples, pl_module)
        if self._asked is None:  # `validate` alone
            self._asked = module.asked(self._asking)
        if not self._asked:
            return
        options = self._options | {"max_new_tokens": min(self._options["max_new_tokens"], module.n_positions // 2)}
        samples = module.samples(self._asked, seeds=range(len(self._asked)), options=options)
        self.latest = [(sample.shown, sample.written) for sample in samples]
        place = {"step": trainer.global_step, "epoch": max(epochs_begun(trainer) - 1, 0), "options": options}
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "generated.jsonl", "a", encoding="utf-8") as file:
            file.writelines(json.dumps({**place, **each.kept}, ensure_ascii=False) + "\n" for each in samples)
        self._show(trainer)

    def _show(self, trainer: Trainer) -> None:
        loss = trainer.callback_metrics.get("val_loss")
        head = f"step {trainer.global_step:,}" if trainer.state.fn == "fit" else "the model writes"
        head += "" if loss is None else f", validation loss {float(loss):.3f}"
        lines = [(" / ".join(map(_one_line, shown)), _one_line(written)) for shown, written in self.latest]
        show(trainer, "\n".join([head, *(f"  {shown}  ->  {written}" for shown, written in lines)]))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                text = "  \n".join(f"{shown} → **{written}**" for shown, written in lines)
                logger.experiment.add_text("samples", text, trainer.global_step)


def _one_line(text: str) -> str:
    return " ".join(text.split())

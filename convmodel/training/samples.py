"""Callback that generates samples after each validation, prints them, and appends them to `generated.jsonl`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, cast

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from convmodel.training.checkpoint import epochs_begun, run_folder
from convmodel.training.datamodules.base import FilesDataModule
from convmodel.training.sharding import has_shards


@dataclass(frozen=True)
class SampleRequest:
    """Inputs for which samples are generated.

    Args:
        contexts: The user's contexts, each a list of turns; None without them.
        prompts: The user's prompts, each with the keys `prompt`, `meta` or both; None without them.
        examples: First examples of the validation file, which are used if the user gave no inputs.
    """

    contexts: Sequence[Sequence[str]] | None
    prompts: Sequence[Mapping[str, Any]] | None
    examples: Sequence[Any]


@dataclass(frozen=True)
class Sample:
    """A generated text.

    Args:
        inputs: Parts of the input, for display.
        text: The generated text.
        record: Input and texts as they are written to `generated.jsonl`.
    """

    inputs: Sequence[str]
    text: str
    record: Mapping[str, Any]


class SampleWriter(Protocol):
    """LightningModule that can generate samples while it is trained."""

    @property
    def n_positions(self) -> int:
        """Maximum number of tokens in the model's window."""

    def sample_inputs(self, request: SampleRequest) -> Sequence[Any]:
        """Return the inputs for which samples are generated after each validation."""

    def write_samples(self, inputs: Sequence[Any], *, seeds: Sequence[int], options: Mapping[str, Any]) -> list[Sample]:
        """Generate a sample for each input. `seeds` has one seed per input; `options` are those of `generate`."""


class ReplySamples(Callback):
    """Callback that generates samples after each validation, and appends them to `generated.jsonl`.

    Args:
        contexts: Contexts to reply to, each a list of turns. If null, the beginnings of the first validation
            conversations.
        prompts: Prompts and metas for a document model, each a mapping with `prompt`, `meta` or both, such as
            `{meta: "Cats, dogs"}`. If null, the first words of the first validation documents with their metas, and
            an empty prompt.
        count: Number of contexts or prompts taken from the validation file.
        max_new_tokens: Maximum number of tokens of a reply or document.
        options: Further options of `generate`, such as `{do_sample: true, top_p: 0.9}`. The seed of each sample is the
            same in every validation.
    """

    def __init__(
        self,
        contexts: list[list[str]] | None = None,
        prompts: list[dict[str, Any]] | None = None,
        count: int = 3,
        max_new_tokens: int = 40,
        options: dict[str, Any] | None = None,
    ) -> None:
        self._contexts = contexts
        self._prompts = prompts
        self._count = count
        self._options = {"do_sample": False, "max_new_tokens": max_new_tokens} | (options or {})
        self.latest: list[tuple[Sequence[str], str]] = []
        self._inputs: Sequence[Any] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose and check the inputs of the samples before the training."""
        if hasattr(pl_module, "sample_inputs"):
            data = getattr(trainer, "datamodule", None)
            examples = data.examples("valid") if isinstance(data, FilesDataModule) else ()
            request = SampleRequest(self._contexts, self._prompts, [*islice(examples, self._count)])
            self._inputs = cast(SampleWriter, pl_module).sample_inputs(request)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Generate samples in the first process. No samples are generated with sharded weights."""
        folder = run_folder(trainer)
        sharded = has_shards(trainer)
        if trainer.sanity_checking or not trainer.is_global_zero or sharded or not hasattr(pl_module, "write_samples"):
            return
        module = cast(SampleWriter, pl_module)
        if self._inputs is None:  # `validate` does not call on_fit_start
            self.on_fit_start(trainer, pl_module)
        if not self._inputs:
            return
        options = self._options | {"max_new_tokens": min(self._options["max_new_tokens"], module.n_positions // 2)}
        samples = module.write_samples(self._inputs, seeds=range(len(self._inputs)), options=options)
        self.latest = [(sample.inputs, sample.text) for sample in samples]
        progress = {"step": trainer.global_step, "epoch": max(epochs_begun(trainer) - 1, 0), "options": options}
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "generated.jsonl", "a", encoding="utf-8") as file:
            file.writelines(json.dumps({**progress, **s.record}, ensure_ascii=False) + "\n" for s in samples)
        self._show(trainer)

    def _show(self, trainer: Trainer) -> None:
        loss = trainer.callback_metrics.get("val_loss")
        head = f"step {trainer.global_step:,}" if trainer.state.fn == "fit" else "the model writes"
        head += "" if loss is None else f", validation loss {float(loss):.3f}"
        lines = [(" / ".join(map(_one_line, inputs)), _one_line(text)) for inputs, text in self.latest]
        show(trainer, "\n".join([head, *(f"  {inputs}  ->  {text}" for inputs, text in lines)]))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                markdown = "  \n".join(f"{inputs} → **{text}**" for inputs, text in lines)
                logger.experiment.add_text("samples", markdown, trainer.global_step)


def show(trainer: Trainer, text: str) -> None:
    """Print a text without breaking the progress bar, if one is shown."""
    bar = trainer.progress_bar_callback
    (bar.print if bar is not None and getattr(bar, "is_enabled", False) else print)(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())

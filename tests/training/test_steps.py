"""What one optimiser step learns from, and how the best model is exported."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from convmodel.models.conversation_model import ConversationModel
from convmodel.models.language_model import FromScratch
from convmodel.tokens.batching import Batch, pad
from convmodel.tokens.conversation_layout import IGNORED, lay_out
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.training.conversation_module import ConversationModule
from convmodel.training.export import BestExport
from convmodel.training.samples import ReplySamples

pytestmark = pytest.mark.filterwarnings(
    "ignore::lightning_fabric.utilities.warnings.PossibleUserWarning", "ignore:.*LeafSpec.*"
)
"""Lightning's advice about loaders, and its use of an older torch."""

SIZES = FromScratch(
    n_layer=1, n_head=2, n_embd=8, n_positions=64, vocab_size=300, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
)
CONVERSATIONS = [["Hello"], ["Hello", "Hi! How are you today?"], ["a", "b", "c", "d"], ["I like the rain.", "Me too."]]


def module_of(tokenizer: ConversationTokenizer, **options: Any) -> ConversationModule:
    torch.manual_seed(0)
    module = ConversationModule(from_scratch=SIZES, schedule="constant", warmup_steps=0, **options)
    module.load_tokenizer(cast(Any, lambda *_: tokenizer))
    module.configure_model()
    return module


def batch_of(tokenizer: ConversationTokenizer, conversations: Sequence[Sequence[str]]) -> Batch:
    sep = tokenizer.sep_token_id
    rows = [lay_out(tokenizer.encode_many(turns), sep, predicted=[True] * len(turns)) for turns in conversations]
    return pad(rows, pad_token_id=sep)


def after_one_step(module: LightningModule, batches: list[Batch], **options: Any) -> dict[str, Tensor]:
    """The gradients of the only optimiser step, in fp64."""
    trainer = Trainer(
        max_steps=1,
        accelerator="cpu",
        precision="64-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(module, DataLoader(cast(Dataset[Batch], batches), batch_size=None))
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def test_four_accumulated_batches_are_one_four_times_as_large(tokenizer: ConversationTokenizer) -> None:
    """The batches differ in their number of tokens by far, so a mean of means would not do."""
    small = [batch_of(tokenizer, [turns]) for turns in CONVERSATIONS]
    accumulated = after_one_step(module_of(tokenizer), small, accumulate_grad_batches=4)
    at_once = after_one_step(module_of(tokenizer), [batch_of(tokenizer, CONVERSATIONS)])
    assert accumulated.keys() == at_once.keys()
    for name, gradient in at_once.items():
        assert torch.allclose(accumulated[name], gradient, rtol=1e-9, atol=1e-12), name


def test_a_step_learns_from_the_mean_over_its_tokens(tokenizer: ConversationTokenizer) -> None:
    """The oracle is transformers' own loss, one conversation after the other."""
    found = after_one_step(module_of(tokenizer), [batch_of(tokenizer, CONVERSATIONS)])
    network = module_of(tokenizer).conversation_model().hf_model.double()
    total, tokens = torch.zeros((), dtype=torch.float64), 0
    for turns in CONVERSATIONS:
        batch = batch_of(tokenizer, [turns])
        count = int((batch["labels"][:, 1:] != IGNORED).sum())
        del batch["metadata"]
        total = total + network(**batch).loss * count
        tokens += count
    (total / tokens).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(found[f"hf_model.{name}"], parameter.grad, rtol=1e-6, atol=1e-8), name


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped_after_they_were_divided(tokenizer: ConversationTokenizer, algorithm: str) -> None:
    batch = batch_of(tokenizer, CONVERSATIONS)
    free = after_one_step(module_of(tokenizer), [batch])
    clipped = after_one_step(module_of(tokenizer), [batch], gradient_clip_val=0.01, gradient_clip_algorithm=algorithm)
    parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in free.values()]
    for parameter, gradient in zip(parameters, free.values(), strict=True):
        parameter.grad = gradient.clone()
    if algorithm == "norm":
        torch.nn.utils.clip_grad_norm_(parameters, 0.01)
    else:
        torch.nn.utils.clip_grad_value_(parameters, 0.01)
    for name, parameter in zip(free, parameters, strict=True):
        assert parameter.grad is not None and torch.allclose(clipped[name], parameter.grad, rtol=1e-9), name


# The best model


class Run:
    """What BestExport and ReplySamples ask of a trainer."""

    def __init__(self, model: ConversationModel, folder: Path) -> None:
        self.model = model
        self.callback_metrics: dict[str, Tensor] = {}
        self.sanity_checking = False
        self.state = SimpleNamespace(fn="fit")
        self.is_global_zero = True
        self.global_step = 0
        self.log_dir = folder
        self.fit_loop = SimpleNamespace(epoch_progress=SimpleNamespace(current=SimpleNamespace(ready=1)))
        self.strategy = SimpleNamespace(lightning_module_state_dict=self.weights, barrier=lambda _: None)
        self.module = ConversationModule()
        self.module.hf_model, self.module._tokenizer = model.hf_model, model.tokenizer

    def weights(self) -> dict[str, Tensor]:
        return {f"hf_model.{name}": values for name, values in self.model.hf_model.state_dict().items()}


@pytest.fixture
def run(model: ConversationModel, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(model, tmp_path_factory.mktemp("run"))


def exported_at(folder: Path) -> float:
    """The step that the exported model's card tells."""
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    return float(next(line.split("|")[2] for line in lines if line.startswith("| optimiser steps")))


def test_only_a_better_model_is_exported(run: Any, tmp_path: Path) -> None:
    export = BestExport(tmp_path / "model", ReplySamples())
    for step, (loss, expected) in enumerate([(2.0, 0), (1.5, 1), (1.7, 1), (1.5, 1), (1.2, 4), (float("nan"), 4)]):
        run.global_step, run.callback_metrics = step, {"val_loss": torch.tensor(loss)}
        export.on_validation_end(run, run.module)
        assert exported_at(tmp_path / "model") == expected
        assert exported_at(run.log_dir / "exported") == expected


def test_an_export_that_fails_leaves_the_old_model(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = BestExport(tmp_path / "model", ReplySamples())
    run.callback_metrics = {"val_loss": torch.tensor(2.0)}
    export.on_validation_end(run, run.module)
    before = {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()}

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(ConversationTokenizer, "save_pretrained", fail)
    run.callback_metrics = {"val_loss": torch.tensor(1.0)}
    with pytest.raises(OSError, match="the disk is full"):
        export.on_validation_end(run, run.module)
    assert {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_without_validation_the_last_model_is_exported(run: Any, tmp_path: Path) -> None:
    export = BestExport(tmp_path / "model", ReplySamples())
    run.global_step = 7
    export.on_train_end(run, run.module)
    assert exported_at(tmp_path / "model") == 7

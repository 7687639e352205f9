"""Losses and gradients of an optimiser step, compared with the loss of transformers."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from convmodel.models.from_scratch import FromScratch
from convmodel.tokens.batching import Batch, pad
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.separator_layout import SeparatorLayout
from convmodel.training.conversation_module import ConversationModule

pytestmark = pytest.mark.filterwarnings(
    "ignore::lightning_fabric.utilities.warnings.PossibleUserWarning", "ignore:.*LeafSpec.*"
)
"""Ignore Lightning's advice about loaders and its deprecated use of torch."""

SIZES = FromScratch(
    n_layer=1, n_head=2, n_embd=8, n_positions=64, vocab_size=300, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
)
CONVERSATIONS = [["Hello"], ["Hello", "Hi! How are you today?"], ["a", "b", "c", "d"], ["I like the rain.", "Me too."]]


def module_of(tokenizer: ConversationTokenizer, **options: Any) -> ConversationModule:
    torch.manual_seed(0)
    module = ConversationModule(from_scratch=SIZES, schedule="constant", warmup_steps=0, **options)
    module.tokenizer = tokenizer
    module.configure_model()
    return module


def batch_of(tokenizer: ConversationTokenizer, conversations: Sequence[Sequence[str]]) -> Batch:
    sep = tokenizer.sep_token_id
    layout = SeparatorLayout(sep)
    rows = [layout.lay_out(tokenizer.encode_many(turns), predicted=[True] * len(turns)) for turns in conversations]
    return pad(rows, pad_token_id=sep)


def gradients_of_one_step(module: LightningModule, batches: list[Batch], **options: Any) -> dict[str, Tensor]:
    """Return the gradients of one optimiser step in fp64."""
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


def test_accumulated_batches_have_the_gradients_of_one_large_batch(tokenizer: ConversationTokenizer) -> None:
    """The numbers of tokens differ between the batches, so a mean of batch means would differ."""
    small = [batch_of(tokenizer, [turns]) for turns in CONVERSATIONS]
    accumulated = gradients_of_one_step(module_of(tokenizer), small, accumulate_grad_batches=4)
    at_once = gradients_of_one_step(module_of(tokenizer), [batch_of(tokenizer, CONVERSATIONS)])
    assert accumulated.keys() == at_once.keys()
    for name, gradient in at_once.items():
        assert torch.allclose(accumulated[name], gradient, rtol=1e-9, atol=1e-12), name


def test_the_loss_of_a_step_is_the_mean_over_its_tokens(tokenizer: ConversationTokenizer) -> None:
    """The oracle is the loss of transformers for each conversation alone."""
    gradients = gradients_of_one_step(module_of(tokenizer), [batch_of(tokenizer, CONVERSATIONS)])
    network = module_of(tokenizer).language_model().hf_model.double()
    total = torch.zeros((), dtype=torch.float64)
    tokens = 0
    for turns in CONVERSATIONS:
        batch = batch_of(tokenizer, [turns])
        count = int((batch["labels"][:, 1:] != IGNORED).sum())
        del batch["metadata"]
        total = total + network(**batch).loss * count
        tokens += count
    (total / tokens).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(gradients[f"hf_model.{name}"], parameter.grad, rtol=1e-6, atol=1e-8), name

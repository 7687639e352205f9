"""Gradient clipping."""

import pytest
import torch

from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.training.test_language_module import CONVERSATIONS, batch_of, gradients_of_one_step, module_of

pytestmark = pytest.mark.filterwarnings(
    "ignore::lightning_fabric.utilities.warnings.PossibleUserWarning", "ignore:.*LeafSpec.*"
)
"""Ignore Lightning's advice about loaders and its deprecated use of torch."""


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped_after_the_division_by_tokens(tokenizer: ConversationTokenizer, algorithm: str) -> None:
    batch = batch_of(tokenizer, CONVERSATIONS)
    free = gradients_of_one_step(module_of(tokenizer), [batch])
    clipped = gradients_of_one_step(
        module_of(tokenizer), [batch], gradient_clip_val=0.01, gradient_clip_algorithm=algorithm
    )
    parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in free.values()]
    for parameter, gradient in zip(parameters, free.values(), strict=True):
        parameter.grad = gradient.clone()
    if algorithm == "norm":
        torch.nn.utils.clip_grad_norm_(parameters, 0.01)
    else:
        torch.nn.utils.clip_grad_value_(parameters, 0.01)
    for name, parameter in zip(free, parameters, strict=True):
        assert parameter.grad is not None and torch.allclose(clipped[name], parameter.grad, rtol=1e-9), name

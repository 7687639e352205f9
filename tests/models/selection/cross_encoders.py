"""Small cross-encoders, random rows for them, and their gradients."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.encoder import Architecture
from convmodel.models.selection.layout import EncoderInput
from tests.models.selection.conftest import MakeSelector

CONTEXTS = [["Hello"], ["Hello", "I am fine", "How are you?"], ["Where do you live?", "By the sea, in a small house"]]


CANDIDATES = ["I am fine", "I live by the sea", "Do you like music? Yes, I play the guitar", "No", "I am fine"]


def cross(make_selector: MakeSelector, architecture: Architecture = "gpt2", **options: Any) -> CrossEncoder:
    """A small cross-encoder, whose pairs fit into 64 tokens."""
    all_options = {"max_context": 40, "max_candidate": 20, **options}
    return cast(CrossEncoder, make_selector(cast(Any, CrossEncoder), architecture, **all_options))


def alone(selector: CrossEncoder, pair: EncoderInput) -> Tensor:
    """The score of one pair, by transformers' own forward without padding."""
    network = selector.network
    inputs = {"input_ids": torch.tensor([pair.ids])}
    if network.encoder.hf_model.config.model_type != "distilbert":
        inputs["token_type_ids"] = torch.tensor([pair.types])
    states = network.encoder.hf_model(**inputs).last_hidden_state[0]
    vector = {"first": states[0], "last": states[-1], "mean": states.mean(0)}[network.pooling]
    return (network.head.weight[0] * vector).sum() + network.head.bias[0]


def rows_of(
    selector: CrossEncoder, source: int, contexts: int, candidates: int
) -> tuple[list[EncoderInput], list[Any]]:
    """Random contexts and pools; a candidate may be too long, or empty."""
    torch.manual_seed(source)

    def ids(limit: int) -> Any:
        length = int(torch.randint(0, limit, ()))
        return torch.randint(10, 250, (length,)).tolist()

    rows = [selector.context_row([[7, *ids(40)]]) for _ in range(contexts)]
    return rows, [[ids(30) for _ in range(candidates)] for _ in range(contexts)]


def gradients(selector: CrossEncoder, scores: Tensor) -> dict[str, Tensor]:
    """The gradients, by parameter, of a loss that depends on every score."""
    selector.network.zero_grad()
    nn.functional.cross_entropy(scores, torch.arange(len(scores)) % scores.shape[1]).backward()
    return {name: p.grad.clone() for name, p in selector.network.named_parameters() if p.grad is not None}


def check_recomputing(selector: CrossEncoder, contexts: list[EncoderInput], candidates: list[Any]) -> dict[str, Tensor]:
    """Check that recomputing gives the same gradients, dropout included, and return them."""
    selector.network.train()
    results = []
    for recompute in (False, True):
        torch.manual_seed(0)
        results.append(gradients(selector, selector.score_rows(contexts, candidates, recompute=recompute)))
    assert len(results[0]) > 10
    torch.testing.assert_close(results[0], results[1], atol=1e-6, rtol=1e-4)
    return results[0]

"""Tiny selectors in memory."""

from collections.abc import Callable

import pytest
import torch

from convmodel.selection.bi import BiEncoder
from convmodel.selection.encoder import Architecture, NewEncoder
from convmodel.tokenizer import ConversationTokenizer

MakeSelector = Callable[..., BiEncoder]


@pytest.fixture
def make_selector(tokenizer: ConversationTokenizer) -> MakeSelector:
    """Makes selectors whose random weights are far enough apart that no two scores are equal."""

    def make(cls: type[BiEncoder] = BiEncoder, architecture: Architecture = "bert", **options: object) -> BiEncoder:
        torch.manual_seed(0)
        sizes = NewEncoder(architecture, layers=2, heads=2, width=16, positions=64)
        given: dict[str, object] = {"max_context": 60, "max_candidate": 20, **options}
        found = cls.from_scratch(tokenizer, sizes, **given)  # type: ignore[arg-type]
        with torch.no_grad():
            for weights in found.network.parameters():
                weights.add_(torch.randn_like(weights) * 0.3)
        found.network.eval()
        return found

    return make

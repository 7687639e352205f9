"""Encoding in batches, and the positions of encoders."""

from typing import Any

import pytest
import torch
from transformers import (
    RobertaConfig,
)

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.encoder import new_encoder
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.models.selection.conftest import MakeSelector

pytestmark = pytest.mark.machine

CANDIDATES = ["I am fine", "I live by the sea", "Do you like music? Yes, I play the guitar", "No"]


def test_recomputing_gives_the_same_gradients(make_selector: MakeSelector) -> None:
    selector = make_selector(PolyEncoder)
    rows = [selector.context_row([selector.tokenizer.encode(text)]) for text in (*CANDIDATES, "Hello")]
    gradients = []
    for recompute in (False, True):
        selector.network.zero_grad()
        contexts = selector.encode_context_rows(rows, recompute=recompute)
        contexts.vectors.pow(2).sum().backward()
        gradients.append([p.grad.clone() for p in selector.network.parameters() if p.grad is not None])
    assert len(gradients[0]) > 10
    torch.testing.assert_close(gradients[0], gradients[1])


def test_unused_positions_of_a_roberta_are_not_counted(tokenizer: ConversationTokenizer) -> None:
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = RobertaConfig(vocab_size=len(tokenizer), intermediate_size=32, max_position_embeddings=34, **sizes)
    with pytest.raises(ValueError, match="max_context=33; this encoder reads 3 to 32 tokens"):
        BiEncoder(new_encoder(config), tokenizer, max_context=33, max_candidate=10)
    selector = BiEncoder(new_encoder(config), tokenizer, max_context=32, max_candidate=10)
    assert selector.score([["Hello " * 99]], CANDIDATES).isfinite().all()

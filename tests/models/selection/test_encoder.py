"""Bi- and poly-encoders around every kind of encoder: the layout, the contract, and their folders."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    RobertaConfig,
    T5Config,
)

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.encoder import NewEncoder, load_encoder, new_encoder
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


def test_encoders_are_loaded_from_folders_of_transformers(tokenizer: ConversationTokenizer, tmp_path: Path) -> None:
    size = len(tokenizer)
    sizes: dict[str, Any] = {"vocab_size": size, "max_position_embeddings": 32, "pad_token_id": None}
    models = {
        "bert": BertModel(
            BertConfig(**sizes, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
        ),
        "distilbert": DistilBertModel(DistilBertConfig(**sizes, n_layers=1, n_heads=2, dim=16, hidden_dim=32)),
        "gpt2": GPT2Model(GPT2Config(vocab_size=size, n_positions=32, n_layer=1, n_head=2, n_embd=16)),
    }
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        selector = BiEncoder.from_encoder(tmp_path / name, max_context=30, max_candidate=10)
        assert selector.pooling == ("last" if name == "gpt2" else "first")
        theirs, ours = model.state_dict(), selector.encoders.contexts.hf_model.state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        assert selector.score([["Hello"]], ["I am fine"]).shape == (1, 1)
        with pytest.raises(ValueError, match="max_context=360; this encoder reads 3 to 32 tokens"):
            BiEncoder.from_encoder(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_encoder(tmp_path / "nothing")
    with pytest.raises(ValueError, match="'t5' has an encoder and a decoder"):
        new_encoder(T5Config(vocab_size=8, d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2))
    with pytest.raises(ValueError, match="heads=3 does not divide width=16"):
        NewEncoder(heads=3, width=16).config(tokenizer)


def test_positions_that_a_roberta_does_not_use_are_not_counted(tokenizer: ConversationTokenizer) -> None:
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = RobertaConfig(vocab_size=len(tokenizer), intermediate_size=32, max_position_embeddings=34, **sizes)
    with pytest.raises(ValueError, match="max_context=33; this encoder reads 3 to 32 tokens"):
        BiEncoder(new_encoder(config), tokenizer, max_context=33, max_candidate=10)
    selector = BiEncoder(new_encoder(config), tokenizer, max_context=32, max_candidate=10)
    assert selector.score([["Hello " * 99]], CANDIDATES).isfinite().all()

"""Selectors around pretrained encoders, from folders of transformers and of selectors."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, GPT2Config, GPT2Model, T5Config

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.convert.model import Convert
from convmodel.models.selection.convert.network import ConvertSizes
from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.encoder import NewEncoder, load_encoder, new_encoder
from convmodel.models.selection.encoder_selector import pretrained_encoder
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.conftest import TEXTS
from tests.models.selection.conftest import MakeSelector

pytestmark = pytest.mark.machine


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
        original = model.state_dict()
        loaded = selector.network.contexts.hf_model.state_dict()
        assert all(torch.equal(loaded[key], original[key]) for key in loaded)
        assert selector.score([["Hello"]], ["I am fine"]).shape == (1, 1)
        with pytest.raises(ValueError, match="max_context=360; this encoder reads 3 to 32 tokens"):
            BiEncoder.from_encoder(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_encoder(tmp_path / "nothing")
    with pytest.raises(ValueError, match="'t5' has an encoder and a decoder"):
        new_encoder(T5Config(vocab_size=8, d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2))
    with pytest.raises(ValueError, match="heads=3 does not divide width=16"):
        NewEncoder(heads=3, width=16).config(tokenizer)


def test_a_cross_encoder_is_created_from_a_folder_of_transformers(
    tokenizer: ConversationTokenizer, tmp_path: Path
) -> None:
    sizes = NewEncoder("gpt2", layers=1, heads=2, width=16, positions=32).config(tokenizer)
    GPT2Model(cast(GPT2Config, sizes)).save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    selector = CrossEncoder.from_encoder(tmp_path / "gpt2", max_context=20, max_candidate=12)
    assert selector.score([["Hello"]], ["I am fine", "No"]).shape == (1, 2)


@pytest.mark.parametrize("cls", [BiEncoder, PolyEncoder, CrossEncoder])
def test_the_context_encoder_of_a_saved_selector_is_trained_further(
    make_selector: MakeSelector, tmp_path: Path, cls: type[BiEncoder]
) -> None:
    options = {"max_context": 40, "max_candidate": 20}
    saved = make_selector(cls, **options)
    saved.save_pretrained(tmp_path)
    encoder, tokenizer = pretrained_encoder(tmp_path)
    assert len(tokenizer) == len(saved.tokenizer)
    weights = saved.encoder.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in encoder.state_dict().items())
    assert BiEncoder.from_encoder(tmp_path, shared=False, **options).score([["Hello"]], ["No"]).shape == (1, 1)


def test_a_selector_without_a_transformers_encoder_is_refused(tmp_path: Path) -> None:
    Convert.untrained(TEXTS * 3, ConvertSizes(100, 20, width=16, windows=(2,))).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="a convert has no transformers encoder to train further"):
        pretrained_encoder(tmp_path)

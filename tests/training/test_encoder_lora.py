"""LoRA in encoders, merged into a copy that scores as the adapted network."""

from typing import Any

import pytest
import torch

pytest.importorskip("peft")

from convmodel.models.lora import Lora
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.training.encoder_lora import add_lora, merged_selector
from tests.models.selection.conftest import MakeSelector

pytestmark = pytest.mark.machine

TEXTS = ([["Hello"], ["Where do you live?", "By the sea"]], ["I am fine", "by the sea"])


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
@pytest.mark.parametrize("cls", [BiEncoder, PolyEncoder, CrossEncoder])
def test_merged_weights_score_as_the_adapters(make_selector: MakeSelector, cls: Any, architecture: Any) -> None:
    options = {"max_context": 40} if cls is CrossEncoder else {"shared": False}
    selector = make_selector(cls, architecture, **options)
    names = set(selector.weights())
    before = selector.score(*TEXTS)
    add_lora(selector.network, Lora(r=2, alpha=3))
    torch.testing.assert_close(selector.score(*TEXTS), before)  # new adapters add nothing
    trained = {name for name, weights in selector.network.named_parameters() if weights.requires_grad}
    assert any("lora_A" in name for name in trained)
    assert all("lora_" in name or name.startswith(("head", "codes")) for name in trained)
    with torch.no_grad():
        for name, weights in selector.network.named_parameters():
            if name in trained:
                weights.add_(torch.randn_like(weights) * 0.3)
    adapted = selector.score(*TEXTS)
    assert not torch.allclose(adapted, before, atol=1e-2)
    merged = merged_selector(selector)
    assert set(merged.weights()) == names
    fresh = cls.build(selector.tokenizer, selector.options())
    fresh.network.load_state_dict(merged.weights())
    torch.testing.assert_close(fresh.score(*TEXTS), adapted, atol=1e-4, rtol=1e-4)
    assert torch.equal(selector.score(*TEXTS), adapted)


def test_names_of_layers_are_checked(make_selector: MakeSelector) -> None:
    selector = make_selector()
    with pytest.raises(ValueError, match="no linear layer 'q_proj'; its linear layers are dense, key, query, value"):
        add_lora(selector.network, Lora(target_modules=["q_proj"]))
    with pytest.raises(ValueError, match="this architecture has no transformers encoder"):
        add_lora(torch.nn.Linear(2, 2), Lora())
    add_lora(selector.network, Lora(target_modules=["query"], modules_to_save=["word_embeddings"]))
    trained = {name for name, weights in selector.network.named_parameters() if weights.requires_grad}
    assert all("query.lora_" in name or "word_embeddings" in name for name in trained)
    assert any("word_embeddings" in name for name in trained)

"""Joint layers, against a BERT of transformers with the attention mask of the pair."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.layout import EncoderInput
from convmodel.models.selection.selector import Selector
from tests.models.selection.conftest import MakeSelector
from tests.models.selection.cross_encoders import CANDIDATES, CONTEXTS, check_recomputing, cross, rows_of

POOLINGS = ["first", "mean"]


def pair_score(selector: CrossEncoder, context: EncoderInput, candidate: EncoderInput) -> Tensor:
    """The score of one pair: the layers of transformers with one mask, separate before the joint layers."""
    network = selector.network
    bert = cast(Any, network.encoder.hf_model)
    size = len(context)
    parts = [
        bert.embeddings(input_ids=torch.tensor([row.ids]), token_type_ids=torch.tensor([row.types]))
        for row in (context, candidate)
    ]
    states = torch.cat(parts, 1)
    assert network.joint is not None
    first = len(bert.encoder.layer) - len(network.joint.gates)
    for index, layer in enumerate(bert.encoder.layer):
        mask = torch.zeros(1, layer.attention.self.num_attention_heads, states.shape[1], states.shape[1])
        mask[..., :size, size:] = -torch.inf
        mask[..., size:, :size] = -torch.inf if index < first else network.joint.gates[index - first][:, None, None]
        states = layer(states, mask)
    pooled = [part[0] if network.pooling == "first" else part.mean(0) for part in (states[0, :size], states[0, size:])]
    product = functional.normalize(pooled[0], dim=0) * functional.normalize(pooled[1], dim=0)
    return network.head.weight[0] @ product + network.head.bias[0]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("layers", [1, 2])
@torch.no_grad()
def test_scores_are_those_of_each_pair_alone(make_selector: MakeSelector, layers: int, pooling: str) -> None:
    selector = cross(make_selector, "bert", pooling=pooling, joint_layers=layers)
    assert selector.network.joint is not None
    torch.nn.init.normal_(selector.network.joint.gates)
    torch.nn.init.normal_(selector.network.head.weight)
    scores = selector.score(CONTEXTS, CANDIDATES)
    pool_scores = selector.score(CONTEXTS, [CANDIDATES, CANDIDATES[::-1], CANDIDATES])
    encode = selector.tokenizer.encode
    for b, context in enumerate(CONTEXTS):
        row = selector.context_row([encode(text) for text in context])
        expected = [pair_score(selector, row, selector.layout.candidate(encode(text))) for text in CANDIDATES]
        torch.testing.assert_close(scores[b], torch.stack(expected), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(pool_scores[1], scores[1].flip(0), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_without_attention_to_the_context_scores_are_those_of_a_bi_encoder(
    make_selector: MakeSelector, tmp_path: Path
) -> None:
    bi = cast(Any, make_selector(BiEncoder, "bert", pooling="mean", cosine_scale=20.0))
    bi.save_pretrained(tmp_path)
    selector = CrossEncoder.from_encoder(tmp_path, max_context=40, max_candidate=20)
    assert selector.network.joint is not None
    selector.network.joint.gates.fill_(-1e9)
    torch.testing.assert_close(
        selector.score(CONTEXTS, CANDIDATES), bi.score(CONTEXTS, CANDIDATES), atol=1e-4, rtol=1e-4
    )


def test_recomputing_gives_the_same_gradients_dropout_included(make_selector: MakeSelector) -> None:
    selector = cross(make_selector, "bert", joint_layers=1)
    assert "joint.gates" in check_recomputing(selector, *rows_of(selector, 1, 3, 12))


def test_a_saved_selector_scores_the_same_when_loaded(make_selector: MakeSelector, tmp_path: Path) -> None:
    selector = cross(make_selector, "bert", joint_layers=1)
    selector.save_pretrained(tmp_path)
    loaded = Selector.from_pretrained(tmp_path, "cpu", "float32")
    assert loaded.options() == selector.options() and loaded.options()["joint_layers"] == 1
    assert torch.equal(loaded.score(CONTEXTS, CANDIDATES), selector.score(CONTEXTS, CANDIDATES))


def test_a_bert_trained_for_the_cosine_gets_joint_layers_unless_another_head_is_given(
    make_selector: MakeSelector, tmp_path: Path
) -> None:
    make_selector(BiEncoder, "bert", pooling="mean", cosine_scale=20.0).save_pretrained(tmp_path / "cosine")
    make_selector(BiEncoder, "bert").save_pretrained(tmp_path / "dot")
    make_selector(BiEncoder, "distilbert", cosine_scale=20.0).save_pretrained(tmp_path / "distilbert")
    sizes = {"max_context": 40, "max_candidate": 20}

    def layers(name: str, **options: Any) -> int:
        return int(CrossEncoder.from_encoder(tmp_path / name, **sizes, **options).options().get("joint_layers", 0))

    assert [layers(name) for name in ("cosine", "dot", "distilbert")] == [2, 0, 0]
    assert layers("cosine", joint_layers=1) == 1
    assert layers("cosine", joint_layers=0) == layers("cosine", compare_pooled=True) == 0


def test_other_encoders_and_too_many_layers_are_refused(make_selector: MakeSelector) -> None:
    with pytest.raises(ValueError, match=r"only encoders of the type 'bert' .* this one is a 'distilbert'"):
        cross(make_selector, "distilbert", joint_layers=1)
    with pytest.raises(ValueError, match=r"joint_layers=9; this encoder has \d layers, so allowed are 1 to \d"):
        cross(make_selector, "bert", joint_layers=9)

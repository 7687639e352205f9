"""Contexts computed once for all candidates, against padded pairs."""

from typing import Any, cast

import pytest
import torch
from transformers import GPT2Config, GPT2Model

from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.layout import EncoderInput, pad_rows
from convmodel.models.selection.prefix_sharing import shared_states
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.models.selection.conftest import MakeSelector
from tests.models.selection.cross_encoders import CANDIDATES, CONTEXTS, cross, gradients, rows_of

pytestmark = pytest.mark.machine


@pytest.mark.parametrize("tokens", [1, 50, 200, 10_000])
@pytest.mark.parametrize("source", range(4))
@torch.no_grad()
def test_prefix_sharing_gives_the_states_of_padded_pairs_for_any_chunk_size(
    make_selector: MakeSelector, source: int, tokens: int
) -> None:
    selector = cross(make_selector)
    contexts, candidates = rows_of(selector, source, 1 + 2 * source, 9 - 2 * source)
    pools = [[selector.layout.pair(EncoderInput([], []), ids) for ids in texts] for texts in candidates]
    shared = shared_states(cast(Any, selector.network.encoder.hf_model), contexts, pools, tokens=tokens)
    for b, context in enumerate(contexts):
        pairs = [selector.layout.pair(context, ids) for ids in candidates[b]]
        padded = pad_rows(pairs, 0)
        states = selector.network.encoder(padded)[torch.arange(len(pairs)), padded.mask.sum(1) - 1]
        torch.testing.assert_close(shared[b], states, atol=1e-4, rtol=1e-4)


def test_prefix_sharing_in_bfloat16_scores_nearly_the_same(make_selector: MakeSelector) -> None:
    selector = cross(make_selector)
    exact = selector.score(CONTEXTS, CANDIDATES)
    selector.network.to(torch.bfloat16)
    rounded = selector.score(CONTEXTS, CANDIDATES)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("options", [{"scale_attn_by_inverse_layer_idx": True}, {"scale_attn_weights": False}])
def test_the_attention_scaling_options_of_gpt2_are_respected(
    tokenizer: ConversationTokenizer, options: dict[str, Any]
) -> None:
    sizes: dict[str, Any] = {"n_positions": 64, "n_layer": 3, "n_head": 2, "n_embd": 16, "initializer_range": 0.5}
    config = GPT2Config(vocab_size=len(tokenizer), **sizes, **options)
    selector = CrossEncoder.build(tokenizer, {"encoder": config.to_dict(), "max_context": 40, "max_candidate": 20})
    selector.network.eval()
    contexts, candidates = rows_of(selector, 0, 2, 3)
    pairs = [selector.layout.pair(row, ids) for row, texts in zip(contexts, candidates, strict=True) for ids in texts]
    scores = selector.score_rows(contexts, candidates)
    torch.testing.assert_close(scores, selector.score_pairs(pairs).view(2, 3), atol=1e-4, rtol=1e-4)


def test_prefix_sharing_has_the_gradients_of_padded_pairs(make_selector: MakeSelector) -> None:
    selector = cross(make_selector)
    contexts, candidates = rows_of(selector, 3, 4, 6)
    shared = gradients(selector, selector.score_rows(contexts, candidates))
    pairs = [selector.layout.pair(row, ids) for row, texts in zip(contexts, candidates, strict=True) for ids in texts]
    expected = gradients(selector, selector.score_pairs(pairs).view(4, 6))
    assert shared.keys() == expected.keys() == dict(selector.network.named_parameters()).keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(shared[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_dropout_does_not_change_the_mean() -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"n_positions": 32, "n_layer": 1, "n_head": 2, "n_embd": 8, "vocab_size": 30}
    model = GPT2Model(GPT2Config(**sizes, attn_pdrop=0.3, resid_pdrop=0.0, embd_pdrop=0.0, initializer_range=0.3))
    contexts = [EncoderInput([3, 4, 5], [0, 0, 1])] * 500
    pools = [[EncoderInput([6, 7], [1, 1])]] * 500
    with torch.no_grad():
        dropping = shared_states(model.train(), contexts, pools)
        exact = shared_states(model.eval(), contexts, pools)
    assert float(dropping.std(0).max()) > 0.01
    torch.testing.assert_close(dropping.mean(0), exact.mean(0), atol=0.05, rtol=0.1)

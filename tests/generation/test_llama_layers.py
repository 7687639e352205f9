"""Models built like a Llama by our own forward pass and by transformers', in int8 and in one product or several."""

import pytest
import torch
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from convmodel.generation.adapters import LayerProducts
from convmodel.generation.decoders import Decoder, TransformersDecoder, make_decoder
from convmodel.generation.int8 import to_int8
from convmodel.generation.kv_cache import KVCache
from convmodel.generation.llama_layers import LLAMA_LIKE, LlamaDecoder
from convmodel.generation.ragged_attention import RaggedAttention, SequenceChunk
from tests.generation.architectures import CONFIGS, GROUPED, WINDOW, make_network
from tests.generation.helpers import END, POSITIONS

NAMES = ["llama", "llama, tied, yarn", "mistral", "qwen2", "qwen3", "smollm3"]


CHUNKS = [SequenceChunk(0, 0, range(2, 12), None), SequenceChunk(1, 0, range(5, END), None)]
IDS = torch.tensor([token for chunk in CHUNKS for token in chunk.input_ids])
PLACES = torch.tensor([position for chunk in CHUNKS for position in range(len(chunk.input_ids))])


@torch.inference_mode()
def compute(decoder: Decoder, wanted: torch.Tensor | None = None) -> torch.Tensor:
    """The logits of two sequences."""
    attention = RaggedAttention(CHUNKS, KVCache(2, POSITIONS, IDS.device))
    return decoder(IDS, None, PLACES, attention, wanted=wanted)


@pytest.mark.parametrize("number", ["plain", "packed", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_logits_equal_those_of_transformers_own_forward(name: str, number: str) -> None:
    network = make_network(name)
    if number == "int8":
        to_int8(network)
    assert type(network) in LLAMA_LIKE and isinstance(make_decoder(network), LlamaDecoder)
    packed = number != "plain"
    products = LayerProducts(network, packed=packed)
    ours, theirs = LlamaDecoder(network, products), TransformersDecoder(network, products)
    for wanted in (None, torch.tensor([9, 3, len(IDS) - 1]), torch.tensor([], dtype=torch.long)):
        result = compute(ours, wanted)
        assert result.shape == (len(IDS) if wanted is None else len(wanted), 32)
        tolerance = 2e-3 if number == "int8" else 1e-4  # a number near half-way is rounded to the other step
        torch.testing.assert_close(result, compute(theirs, wanted), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_in_bfloat16_it_is_as_near_to_fp32_as_transformers_own_forward(name: str) -> None:
    exact = compute(make_decoder(make_network(name)))
    network = make_network(name, torch.bfloat16)
    products = LayerProducts(network, packed=True)
    ours, theirs = (compute(kind(network, products)) for kind in (LlamaDecoder, TransformersDecoder))
    assert (ours - exact).pow(2).mean() <= 1.5 * (theirs - exact).pow(2).mean() + 0.01


def test_a_window_of_some_layers_only_is_that_of_each_layer() -> None:
    torch.manual_seed(0)
    kinds = ["full_attention", "sliding_attention"]
    sizes = Qwen2Config(**GROUPED, use_sliding_window=True, sliding_window=WINDOW, layer_types=kinds)
    blocks = LlamaDecoder(Qwen2ForCausalLM(sizes))._blocks
    assert [block.attention.window for block in blocks] == [None, WINDOW]


def test_a_replaced_layer_is_called_by_its_own_forward() -> None:
    network = make_network("llama")
    projection = network.get_submodule("model.layers.0.self_attn.q_proj")
    network.set_submodule("model.layers.0.self_attn.q_proj", nn.Sequential(projection, nn.Tanh()))
    ids = torch.arange(2, 12)
    with torch.inference_mode():
        expected = network(input_ids=ids[None], use_cache=False).logits[0]
        chunks, cache = [SequenceChunk(0, 0, ids.tolist(), None)], KVCache(1, POSITIONS, network.device)
        for packed in (False, True):
            result = make_decoder(network, LayerProducts(network, packed=packed))(
                ids, None, torch.arange(10), RaggedAttention(chunks, cache), wanted=None
            )
            torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)


def test_token_types_are_refused() -> None:
    ids = torch.tensor([3])
    cache = KVCache(1, POSITIONS, ids.device)
    with pytest.raises(ValueError, match="reads no token types"):
        attention = RaggedAttention([SequenceChunk(0, 0, [3], [0])], cache)
        LlamaDecoder(make_network("llama"))(ids, ids, ids, attention)


def test_only_tested_architectures_have_a_forward_of_their_own() -> None:
    assert {type(make_network(name)) for name in CONFIGS} >= set(LLAMA_LIKE)

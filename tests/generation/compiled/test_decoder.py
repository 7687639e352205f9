"""Logits of compiled steps against transformers' own forward pass, and of rows against themselves in company."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from convmodel.generation.compiled.decoder import CompiledDecoder
from convmodel.generation.int8 import to_int8
from convmodel.generation.kv_cache import KVCache
from tests.generation.architectures import make_network, own_logits
from tests.generation.helpers import END, POSITIONS

pytestmark = pytest.mark.machine

NAMES = ["gpt2", "llama", "mistral", "qwen2", "qwen3", "smollm3"]


@pytest.fixture(params=[1, 3], ids="{} threads".format)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def read(decoder: CompiledDecoder, cache: KVCache, slot: int, ids: list[int], start: int) -> Tensor:
    """The logits after each of some tokens of one sequence."""
    positions = torch.arange(start, start + len(ids))
    return decoder.read(torch.tensor(ids), None, positions, [slot] * len(ids), cache)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_logits_equal_those_of_transformers(name: str, dtype: str, threads: int) -> None:
    network = make_network(name)
    if dtype == "int8":
        to_int8(network)
    decoder, cache = CompiledDecoder(network), KVCache(2, POSITIONS, torch.device("cpu"))
    source = random.Random(0)
    ids = [source.randrange(2, END) for _ in range(POSITIONS)]
    parts = [read(decoder, cache, 1, ids[begin:end], begin) for begin, end in ((0, 7), (7, 8), (8, POSITIONS))]
    tolerance = 2e-5 if dtype == "float32" else 2e-3  # in int8 a value near half-way is rounded to the other side
    torch.testing.assert_close(torch.cat(parts), own_logits(network, ids), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("options", [{"scale_attn_weights": False}, {"scale_attn_by_inverse_layer_idx": True}, {}])
def test_token_types_and_scales_of_gpt2(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "n_layer": 3,
        "n_head": 2,
        "n_embd": 20,
        "vocab_size": 30,
        "n_positions": 16,
        "n_inner": 50,
    }
    network = GPT2LMHeadModel(GPT2Config(**sizes, **options, initializer_range=0.3)).eval()
    ids, types = torch.randint(30, (12,)), torch.randint(2, (12,))
    expected = network(ids[None], token_type_ids=types[None]).logits[0].detach()
    cache, wanted = KVCache(1, 16, torch.device("cpu")), torch.tensor([11, 3])
    result = CompiledDecoder(network).read(ids, types, torch.arange(12), [0] * 12, cache, wanted)
    torch.testing.assert_close(result, expected[wanted], atol=2e-5, rtol=2e-5)
    assert CompiledDecoder(network).read(ids, types, torch.arange(12), [0] * 12, cache, wanted[:0]).shape == (0, 30)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_has_the_same_bits_alone_and_in_any_company(name: str, threads: int) -> None:
    network: PreTrainedModel = make_network(name)
    source = random.Random(1)
    rows = [[source.randrange(2, END) for _ in range(POSITIONS)] for _ in range(5)]
    decoder, cache = CompiledDecoder(network), KVCache(5, POSITIONS, torch.device("cpu"))
    alone = [
        torch.cat([read(decoder, cache, n, row[p : p + 1], p) for p in range(POSITIONS)]) for n, row in enumerate(rows)
    ]
    cache = KVCache(5, POSITIONS, torch.device("cpu"))
    reached = [0] * len(rows)
    while min(reached) < POSITIONS:
        ids: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        for n in source.sample(range(len(rows)), source.randint(1, len(rows))):
            count = min(source.choice([1, 1, 4, 9]), POSITIONS - reached[n])
            ids += rows[n][reached[n] : reached[n] + count]
            positions += range(reached[n], reached[n] + count)
            slots += [n] * count
            reached[n] += count
        if ids:
            together = decoder.read(torch.tensor(ids), None, torch.tensor(positions), slots, cache)
            for logits, slot, position in zip(together, slots, positions, strict=True):
                assert logits.equal(alone[slot][position])

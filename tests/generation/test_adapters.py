"""Adapters in the engine's batches against models into whose weights they are merged, each alone."""

import copy
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from convmodel.generation.adapters import AdaptedLayer, AdapterWeights, LayerProducts, LowRank, with_adapter
from convmodel.generation.engine import Engine
from convmodel.generation.gpt2_layers import ROWS_AT_ONCE
from convmodel.generation.int8 import Int8Linear, to_int8
from convmodel.generation.kv_cache import KVCache
from convmodel.generation.model_runner import ModelRunner
from convmodel.generation.ragged_attention import SequenceChunk
from convmodel.generation.request import GenerationRequest, RequestState
from tests.generation.architectures import make_network
from tests.generation.helpers import END, POSITIONS, config

NAMES = ("gpt2", "llama", "gemma3", "olmo2")
COUNT = 3
ENDS = [END, 5, 6, 7]

pytestmark = pytest.mark.machine


def make_adapter(network: PreTrainedModel, seed: int, *, share: float = 0.7) -> AdapterWeights:
    """Return an adapter of random layers, each of its own rank, large enough that it changes most replies."""
    source = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    adapter = {}
    for name, layer in cast(nn.Module, network).named_modules():
        if isinstance(layer, Conv1D | nn.Linear | Int8Linear) and source.random() < share:
            outputs = layer.nf if isinstance(layer, Conv1D) else layer.out_features
            inputs = layer.nx if isinstance(layer, Conv1D) else layer.in_features
            rank = source.randint(1, 5)
            down = torch.randn(rank, inputs, generator=generator) * inputs**-0.5
            adapter[name] = LowRank(down, torch.randn(outputs, rank, generator=generator) * 0.1)
    return adapter


def merge(network: PreTrainedModel, adapter: AdapterWeights | None) -> PreTrainedModel:
    """Return a copy of a model with the adapter added to its weights."""
    merged = copy.deepcopy(network)
    for name, low_rank in (adapter or {}).items():
        layer: Any = cast(nn.Module, merged).get_submodule(name)
        change = low_rank.up @ low_rank.down
        layer.weight = nn.Parameter(layer.weight.detach() + (change.T if isinstance(layer, Conv1D) else change))
    return merged


@torch.no_grad()
def logits_of(network: PreTrainedModel, ids: Sequence[int]) -> torch.Tensor:
    logits: torch.Tensor = cast(Any, network)(torch.tensor([ids]), use_cache=False).logits[0]
    return logits


def check_equal(found: torch.Tensor, expected: torch.Tensor) -> None:
    """That logits are equal to 1e-5 of the largest."""
    torch.testing.assert_close(found, expected, atol=1e-5 * max(1, float(expected.abs().max())), rtol=1e-5)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_logits_of_mixed_rows_are_those_of_each_merged_model(name: str, packed: bool) -> None:
    network = make_network(name)
    adapters = [make_adapter(network, seed) for seed in range(COUNT)]
    merged = [merge(network, adapter) for adapter in (None, *adapters)]
    source = random.Random(1)
    runner, cache = ModelRunner(network, packed=packed, adapters=adapters), KVCache(8, POSITIONS, network.device)
    rows = [[source.randrange(END) for _ in range(source.randint(8, 30))] for _ in range(8)]
    owners = [source.choice([None, 0, 1, 2]) for _ in rows]
    read = [0] * len(rows)
    while any(count < len(row) for count, row in zip(read, rows, strict=True)):
        chunks = []
        for slot in source.sample(range(8), 5):
            ids = rows[slot][read[slot] :][: source.randint(1, 9)]
            if ids:
                chunks.append(SequenceChunk(slot, read[slot], ids, None, source.random() < 0.7, owners[slot]))
                read[slot] += len(ids)
        results = runner.read(chunks, cache) if chunks else ()
        for chunk, result in zip([chunk for chunk in chunks if chunk.needs_logits], results, strict=True):
            model = merged[0 if chunk.adapter is None else chunk.adapter + 1]
            expected = logits_of(model, rows[chunk.slot][: chunk.start + len(chunk.input_ids)])[-1]
            check_equal(result, expected)


def random_request(source: random.Random, begun: Sequence[int], **options: Any) -> GenerationRequest:
    ids = [*begun, *(source.randrange(END) for _ in range(source.randint(1, 8)))]
    adapter = source.choice([None, *range(COUNT)])
    scored = options.pop("scored", False)
    made = config(eos_token_id=ENDS, **options)
    return GenerationRequest(ids[: POSITIONS - 1], None, made, adapter=adapter, scored=scored)


def check_greedy(merged: Sequence[PreTrainedModel], state: RequestState) -> None:
    """That a reply is the greedy one of its adapter's model, from one uncached pass over all of it."""
    request, reply = state.request, state.tokens
    model = merged[0 if request.adapter is None else request.adapter + 1]
    likeliest = logits_of(model, [*request.input_ids, *reply][:POSITIONS])[len(request.input_ids) - 1 :].argmax(-1)
    assert reply == likeliest.tolist()[: len(reply)] and not {*ENDS} & {*reply}
    assert state.finish != "end" or int(likeliest[len(reply)]) in ENDS


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
def test_replies_of_mixed_adapters_are_those_of_each_merged_model_through_joins_and_cancels(name: str) -> None:
    network = make_network(name)
    adapters = [make_adapter(network, seed) for seed in range(COUNT)]
    merged = [merge(network, adapter) for adapter in (None, *adapters)]
    engine = Engine(network, max_running=4, max_kept=6, read_per_step=7, packed=True, adapters=adapters)
    source, states, begun = random.Random(2), list[RequestState](), [list[int]()]
    while len(states) < 100 or engine.busy:
        if len(states) < 100 and source.random() < 0.4:
            request = random_request(source, source.choice(begun), max_new_tokens=source.randint(1, 9))
            states.append(engine.submit(request))
            if source.random() < 0.3:  # the same context, of another adapter
                states.append(engine.submit(replace(request, adapter=source.choice([None, *range(COUNT)]))))
        for state in engine.step():
            if state.finish == "end" and source.random() < 0.5:
                begun = [*begun[-5:], [*state.request.input_ids, *state.tokens, END][: POSITIONS - 10]]
        if engine.running and source.random() < 0.05:
            source.choice(engine.running).cancel()
    for state in states:
        check_greedy(merged, state)
    assert {state.finish for state in states} >= {"end", "length", "cancelled"}
    assert engine.context_tokens_cached > 100


@pytest.mark.parametrize("is_int8", [False, True], ids=["fp32", "int8"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_replies_without_an_adapter_are_those_of_an_engine_without_adapters(name: str, is_int8: bool) -> None:
    network = make_network(name)
    if is_int8:
        to_int8(network)
    adapters = [make_adapter(network, seed) for seed in range(COUNT)]
    engine = Engine(network, max_running=4, max_kept=6, read_per_step=7, packed=True, adapters=adapters)
    source, states = random.Random(5), list[RequestState]()
    while len(states) < 40 or engine.busy:
        if len(states) < 40 and source.random() < 0.4:
            states.append(engine.submit(random_request(source, (), max_new_tokens=source.randint(1, 9), scored=True)))
        engine.step()
        if engine.running and source.random() < 0.05:
            source.choice(engine.running).cancel()
    own = [state for state in states if state.request.adapter is None and state.finish != "cancelled"]
    assert 5 < len(own) < 35
    for state in own:
        alone = Engine(network, max_running=1, packed=True).run([state.request])[0]
        assert (state.tokens, state.log_likelihood) == (alone.tokens, alone.log_likelihood)


@pytest.mark.parametrize("is_int8", [False, True], ids=["fp32", "int8"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_logits_without_an_adapter_are_the_same_bit_for_bit_beside_adapters(name: str, is_int8: bool) -> None:
    network = make_network(name)
    if is_int8:
        to_int8(network)
    runner = ModelRunner(network, packed=True, adapters=[make_adapter(network, seed) for seed in range(COUNT)])
    source = random.Random(6)
    rows = [[source.randrange(END) for _ in range(source.randint(1, 9))] for _ in range(12)]
    chunks = [
        SequenceChunk(slot, 0, ids, None, slot != 4, (None, 0, None, 1)[slot % 4]) for slot, ids in enumerate(rows)
    ]
    together = runner.read(chunks, KVCache(12, POSITIONS, network.device))
    wanted = [chunk for chunk in chunks if chunk.needs_logits]
    plain = ModelRunner(network, packed=True)
    for chunk, logits in zip(wanted, together, strict=True):
        if chunk.adapter is None:
            assert logits.equal(plain.read([chunk], KVCache(12, POSITIONS, network.device))[0])


def test_a_context_in_the_cache_belongs_to_its_adapter() -> None:
    network = make_network("llama")
    engine = Engine(network, max_running=4, adapters=[make_adapter(network, 0), make_adapter(network, 1)])
    request = GenerationRequest(list(range(2, 30)), None, config(max_new_tokens=2))
    requests = [replace(request, adapter=adapter) for adapter in (None, 0, 1, 0, None)]
    assert [engine.run([request])[0].cached for request in requests[:2]] == [0, 0]
    assert [engine.run([request])[0].cached for request in requests[2:4]] == [0, 27]


def test_rows_of_a_gpt2_are_the_same_bit_for_bit_beside_other_adapters() -> None:
    network = make_network("gpt2")
    adapters = [make_adapter(network, seed) for seed in range(COUNT)]
    runner = ModelRunner(network, packed=True, adapters=adapters)
    source = random.Random(3)
    rows = [[source.randrange(END) for _ in range(source.randint(20, 40))] for _ in range(12)]
    assert sum(map(len, rows)) > ROWS_AT_ONCE
    chunks = [SequenceChunk(slot, 0, ids, None, True, source.choice([None, 0, 1, 2])) for slot, ids in enumerate(rows)]
    together = runner.read(chunks, KVCache(12, POSITIONS, network.device))
    alone = [runner.read([chunk], KVCache(12, POSITIONS, network.device))[0] for chunk in chunks]
    assert together.equal(torch.stack(alone))


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
def test_over_weights_in_int8_it_adds_products_of_floating_point(name: str) -> None:
    network = make_network(name)
    to_int8(network)
    adapters = [make_adapter(network, seed) for seed in range(2)]
    chunks = [SequenceChunk(slot, 0, range(2, 12), None, True, [None, 0, 1][slot]) for slot in range(3)]
    runner = ModelRunner(network, packed=True, adapters=adapters)
    together = runner.read(chunks, KVCache(3, POSITIONS, network.device))
    alone = [
        ModelRunner(model).read([SequenceChunk(0, 0, range(2, 12), None)], KVCache(1, POSITIONS, network.device))[0]
        for model in (network, *(with_adapter(network, adapter) for adapter in adapters))
    ]
    torch.testing.assert_close(together, torch.stack(alone), atol=2e-3, rtol=2e-3)
    assert not together[0].allclose(together[1], atol=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_with_an_adapter_over_it_has_the_weights_once(name: str) -> None:
    network = make_network(name)
    adapter = make_adapter(network, 0)
    adapted = with_adapter(network, adapter)
    check_equal(logits_of(adapted, range(2, 20)), logits_of(merge(network, adapter), range(2, 20)))
    ours = {id(weight) for weight in cast(nn.Module, network).parameters()}
    assert {id(weight) for weight in cast(nn.Module, adapted).parameters()} == ours
    assert not any(isinstance(module, AdaptedLayer) for module in network.modules())


def test_layers_without_adapters_keep_their_products() -> None:
    layer = nn.Linear(4, 3)
    assert not LayerProducts(layer).replaces(layer) and not LayerProducts(layer).has_adapters
    assert LayerProducts(layer, packed=True).replaces(layer)


def test_an_adapter_that_the_engine_does_not_have_is_refused() -> None:
    network = make_network("llama")
    engine = Engine(network, adapters=[make_adapter(network, 0)])
    with pytest.raises(ValueError, match="adapter=1; the engine has 1, from 0"):
        engine.submit(GenerationRequest([1], None, config(), adapter=1))
    with pytest.raises(ValueError, match="leave graphs out"):
        Engine(network, adapters=[make_adapter(network, 0)], graphs=True)

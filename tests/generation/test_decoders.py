"""Models of many architectures in the engine against transformers' own forward pass and `generate`."""

import random
import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from convmodel.generation.decoders import TransformersDecoder, make_decoder
from convmodel.generation.engine import Engine
from convmodel.generation.engine_support import TESTED, supports_engine
from convmodel.generation.int8 import Int8Linear, to_int8
from convmodel.generation.kv_cache import KVCache
from convmodel.generation.model_runner import ModelRunner
from convmodel.generation.ragged_attention import SequenceChunk
from convmodel.generation.request import GenerationRequest
from tests.generation.architectures import CONFIGS, make_network, own_logits, own_reply
from tests.generation.helpers import END, POSITIONS, config, contexts

COMPILED = ("llama", "mistral", "qwen2", "qwen3", "smollm3")
"""Architectures that a CPU computes by compiled steps of its own; that of GPT-2 has tests of its own."""

OTHERS = ("gemma3", "phi3", "olmo2", "gpt_neox", "granite", "opt")
"""Architectures whose engine is compared with `generate` in every run; the rest are in the slow tests."""


def network_params(rest: Sequence[pytest.MarkDecorator] = ()) -> list[Any]:
    """Return all architectures; the compiled ones and gemma3 depend on the machine."""
    machine = [pytest.mark.machine]
    return [
        pytest.param(name, marks=machine if name in {*COMPILED, "gemma3"} else [] if name in OTHERS else rest)
        for name in CONFIGS
    ]


@pytest.fixture(params=network_params())
def network(request: pytest.FixtureRequest) -> PreTrainedModel:
    return make_network(request.param)


def check_logits(network: PreTrainedModel, runner: ModelRunner, tolerance: float) -> None:
    """Read four rows in random pieces and compare the logits after each piece with those of whole passes."""
    source = random.Random(0)
    cache = KVCache(4, POSITIONS, network.device)
    rows = [[source.randrange(2, END) for _ in range(length)] for length in (1, 9, 30, POSITIONS)]
    expected = [own_logits(network, row) for row in rows]
    read = [0] * len(rows)
    while any(read[n] < len(row) for n, row in enumerate(rows)):
        pieces = []
        for n in source.sample(range(len(rows)), source.randint(1, len(rows))):
            size = min(source.choice([1, 1, 3, 14]), len(rows[n]) - read[n])
            if size:
                ids = rows[n][read[n] : read[n] + size]
                pieces.append(SequenceChunk(n, read[n], ids, None, source.random() < 0.7))
                read[n] += size
        if pieces:
            wanted = [piece.slot for piece in pieces if piece.needs_logits]
            result = runner.read(pieces, cache)
            assert len(result) == len(wanted) and result.dtype == torch.float32
            for n, logits in zip(wanted, result, strict=True):
                torch.testing.assert_close(logits, expected[n][read[n] - 1], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_logits_equal_those_of_a_whole_pass_however_rows_are_cut(network: PreTrainedModel, packed: bool) -> None:
    check_logits(network, ModelRunner(network, packed=packed), 1e-4)


def test_logits_in_int8_equal_those_of_the_model_in_int8(network: PreTrainedModel) -> None:
    to_int8(network)
    assert [module for module in network.modules() if isinstance(module, Int8Linear)]
    check_logits(network, ModelRunner(network, packed=True), 1e-3)


@pytest.mark.machine
@pytest.mark.parametrize("name", ["llama", "gemma3", "phi3", "gpt_neox"])
def test_logits_in_bfloat16_are_near_those_of_a_whole_pass(name: str) -> None:
    whole = make_network(name)
    network = make_network(name, torch.bfloat16)
    source, cache = random.Random(0), KVCache(1, POSITIONS, network.device)
    ids = [source.randrange(2, END) for _ in range(30)]
    runner = ModelRunner(network)
    pieces = [ids[:20], ids[20:21], ids[21:]]
    results = [
        runner.read([SequenceChunk(0, start, piece, None)], cache)[0]
        for start, piece in zip((0, 20, 21), pieces, strict=True)
    ]
    exact = own_logits(whole, ids)[[19, 20, 29]]
    noise = (own_logits(network, ids)[[19, 20, 29]] - exact).abs().max()
    assert (torch.stack(results) - exact).abs().max() <= 2 * noise + 0.1


@pytest.mark.parametrize("network", network_params(rest=[pytest.mark.slow]), indirect=True)
def test_replies_equal_generate_over_joins_leaves_sessions_evictions_and_trims(network: PreTrainedModel) -> None:
    """Five conversations of ten turns over three slots; a context that is too long loses its oldest tokens.

    The same without and with graphs.
    """
    source = random.Random(1)
    options: dict[str, Any] = {"max_running": 2, "max_kept": 3, "read_per_step": 9, "packed": True}
    engines = [Engine(network, **options, graphs=graphs) for graphs in (False, True)]
    talks = contexts(4, 5)
    for _ in range(10):
        greedy = config(max_new_tokens=source.randint(1, 7))
        requests = [GenerationRequest(tuple(ids), None, greedy) for ids in talks]
        replies = [own_reply(network, ids, greedy) for ids in talks]
        for engine in engines:
            assert [state.tokens for state in engine.run(requests)] == replies
        for index, (ids, reply) in enumerate(zip(talks, replies, strict=True)):
            ids += [*reply, END, *(source.randrange(2, END) for _ in range(source.randint(1, 4)))]
            if len(ids) > POSITIONS - 8:
                talks[index] = ids[-(POSITIONS // 2) :]
    for engine in engines:
        assert engine.context_tokens_cached > 50


def test_a_window_is_read_to_its_last_token(network: PreTrainedModel) -> None:
    ids = [random.Random(2).randrange(2, END) for _ in range(POSITIONS - 3)]
    [state] = Engine(network).run([GenerationRequest(ids, None, config(max_new_tokens=20, eos_token_id=[]))])
    assert len(state.tokens) == 4 and state.finish == "length"
    assert state.tokens == own_logits(network, [*ids, *state.tokens[:3]])[-4:].argmax(-1).tolist()


def test_the_model_keeps_its_own_attention_while_an_engine_runs(network: PreTrainedModel) -> None:
    """Scoring, training and `generate` go on with the same weights, in other threads too."""
    ids = contexts(6, 1)[0]
    before, implementation = own_logits(network, ids), network.config._attn_implementation
    engine = Engine(network)
    engine.submit(GenerationRequest(ids, None, config()))
    seen: list[torch.Tensor] = []
    threads = [threading.Thread(target=lambda: seen.append(own_logits(network, ids))) for _ in range(4)]
    for thread in threads:
        thread.start()
    while engine.busy:
        engine.step()
    for thread in threads:
        thread.join()
    assert network.config._attn_implementation == implementation
    assert all(logits.equal(before) for logits in seen) and len(seen) == 4


def test_an_unpacked_engine_sees_later_changes_of_the_weights(network: PreTrainedModel) -> None:
    decoder = make_decoder(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    runner = ModelRunner(network)
    runner.decoder = decoder
    check_logits(network, runner, 1e-4)


@pytest.mark.machine
def test_gpt2_gives_the_same_by_both_paths() -> None:
    network = make_network("gpt2")
    runner = ModelRunner(network)
    runner.decoder = TransformersDecoder(network)
    check_logits(network, runner, 1e-4)


UNSUPPORTED: dict[str, dict[str, Any]] = {
    "mamba": {},
    "lfm2": {"layer_types": ["conv", "full_attention"], "num_key_value_heads": 2, "intermediate_size": 16},
    "bart": {"d_model": 16, "decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 16},
    "bloom": {"n_head": 2},
    "falcon": {"alibi": True},
    "stablelm": {},
    "rwkv": {"attention_hidden_size": 16},
    "mpt": {"d_model": 16, "n_heads": 2, "n_layers": 2},
    "phimoe": {"sliding_window": 4, "num_key_value_heads": 4, "intermediate_size": 16},
    "bert": {"intermediate_size": 16},
    "phi3": {
        "num_key_value_heads": 4,
        "original_max_position_embeddings": 8,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "short_factor": [1] * 2,
            "long_factor": [2] * 2,
        },
    },
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_the_engine_cannot_compute_is_refused(name: str) -> None:
    sizes = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "pad_token_id": 0}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **(sizes | UNSUPPORTED[name])))
    assert not supports_engine(model)
    with pytest.raises(ValueError, match=f"{type(model).__name__} is not supported by the engine"):
        make_decoder(model)


def test_all_architectures_of_the_tests_are_supported(network: PreTrainedModel) -> None:
    assert supports_engine(network)
    assert network.config.model_type in TESTED


def test_every_architecture_that_is_taken_for_tested_is() -> None:
    assert {config.model_type for config in CONFIGS.values()} == TESTED


def test_token_types_are_refused_by_models_that_read_none() -> None:
    engine = Engine(make_network("llama"))
    with pytest.raises(ValueError, match="token_type_ids: this model reads none"):
        engine.submit(GenerationRequest([3, 4], [0, 0], config()))
    decoder, ids = TransformersDecoder(make_network("llama")), torch.tensor([3])
    with pytest.raises(ValueError, match="reads no token types"):
        decoder(ids, ids, ids, cast(Any, None))

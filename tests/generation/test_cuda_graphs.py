"""Single tokens in tensors of fixed shapes against the runner without them, on any device."""

import random

import pytest
import torch
from transformers import GPT2LMHeadModel

from convmodel.generation.cuda_graphs import CUDAGraphRunner
from convmodel.generation.kv_cache import KVCache
from convmodel.generation.model_runner import ModelRunner
from convmodel.generation.ragged_attention import SequenceChunk
from tests.generation.helpers import END, POSITIONS


@pytest.mark.parametrize("typed", [False, True])
def test_single_tokens_have_the_logits_of_the_runner_without_graphs(network: GPT2LMHeadModel, typed: bool) -> None:
    source = random.Random(typed)
    runner = ModelRunner(network)
    cache = KVCache(6, POSITIONS, network.device)
    graphs = CUDAGraphRunner(runner, KVCache(6, POSITIONS, network.device))
    for position in range(POSITIONS - 1):
        slots = source.sample(range(6), source.randint(1, 6)) if position % 2 else range(6)
        chunks = [
            SequenceChunk(slot, position, [source.randrange(END)], [slot % 2] if typed else None, slot != 3)
            for slot in slots
        ]
        logits = graphs.read(chunks)
        assert len(logits) == sum(chunk.needs_logits for chunk in chunks)
        torch.testing.assert_close(logits, runner.read(chunks, cache), atol=1e-4, rtol=1e-4)

"""Attention over the cache against one dense product with a mask, for short and long sequences and windows."""

import random

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from convmodel.generation.attention import AttentionLayer
from convmodel.generation.kv_cache import KVCache
from convmodel.generation.ragged_attention import RaggedAttention, SequenceChunk

LENGTH = 600


def dense(queries: Tensor, keys: Tensor, values: Tensor, window: int | None) -> Tensor:
    """A whole sequence (T, heads, width) at once."""
    ages = torch.arange(len(queries))[:, None] - torch.arange(len(queries))
    mask = (ages >= 0) & (ages < (window or len(queries)))
    rows = [part.transpose(0, 1)[None] for part in (queries, keys, values)]
    attend = functional.scaled_dot_product_attention
    return attend(rows[0], rows[1], rows[2], attn_mask=mask, scale=0.3, enable_gqa=True)[0].transpose(0, 1)


@pytest.mark.parametrize("window", [None, 1, 7, 100, 500, 530])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("heads", "groups", "width"), [(4, 2, 8), (1, 1, 64), (3, 1, 12)])
def test_pieces_of_several_sequences_attend_as_whole_ones(
    heads: int, groups: int, width: int, dtype: torch.dtype, window: int | None
) -> None:
    torch.manual_seed(0)
    source = random.Random(0)
    cache, layer = KVCache(2, LENGTH, torch.device("cpu")), AttentionLayer(0, 0.3, window)
    whole = [[torch.randn(LENGTH, count, width, dtype=dtype) for count in (heads, groups, groups)] for _ in range(2)]
    read = [0, 0]
    outputs: list[list[Tensor]] = [[], []]
    while min(read) < LENGTH:
        chunks = []
        for slot in source.sample(range(2), source.randint(1, 2)):
            size = min(source.choice([1, 1, 5, 80, 200]), LENGTH - read[slot])
            if size:
                chunks.append(SequenceChunk(slot, read[slot], [0] * size, None))
        spans = [(chunk.slot, slice(chunk.start, chunk.start + len(chunk.input_ids))) for chunk in chunks]
        new = [torch.cat([whole[slot][part][span] for slot, span in spans]) for part in range(3)] if chunks else []
        if chunks:
            output = RaggedAttention(chunks, cache)(new[0], new[1], new[2], layer)
            sizes = [len(chunk.input_ids) for chunk in chunks]
            for chunk, rows in zip(chunks, output.split(sizes), strict=True):
                outputs[chunk.slot].append(rows)
                read[chunk.slot] += len(rows)
    tolerance = 1e-5 if dtype == torch.float32 else 0.03
    for result, parts in zip(outputs, whole, strict=True):
        expected = dense(parts[0].float(), parts[1].float(), parts[2].float(), window)
        torch.testing.assert_close(torch.cat(result).float(), expected, atol=tolerance, rtol=tolerance)

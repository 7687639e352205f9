"""Chunks that are read in several calls: rows of logits keep the order of the chunks."""

from collections.abc import Sequence

import torch

from convmodel.generation.chunk_groups import read_in_groups
from convmodel.generation.ragged_attention import SequenceChunk


def test_rows_have_the_order_of_the_chunks_and_each_group_is_read_once() -> None:
    adapters = [None, 1, None, 0, 1, None, 0]
    needed = [True, True, False, True, False, True, True]
    chunks = [
        SequenceChunk(slot, 0, [slot], None, needs, adapter)
        for slot, (adapter, needs) in enumerate(zip(adapters, needed, strict=True))
    ]
    calls: list[list[int]] = []

    def read(group: Sequence[SequenceChunk]) -> torch.Tensor:
        calls.append([chunk.slot for chunk in group])
        return torch.tensor([[chunk.slot] for chunk in group if chunk.needs_logits]).view(-1, 1)

    assert read_in_groups(chunks, lambda chunk: chunk.adapter, read).tolist() == [[0], [1], [3], [5], [6]]
    assert calls == [[0, 2, 5], [1, 4], [3, 6]]
    calls.clear()
    assert read_in_groups(chunks, lambda chunk: None, read).tolist() == [[0], [1], [3], [5], [6]]
    assert calls == [list(range(7))]

"""Read the chunks of one step in several calls, for chunks that cannot share a call of the model."""

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from convmodel.generation.ragged_attention import SequenceChunk


def read_in_groups(
    chunks: Sequence[SequenceChunk],
    group_of: Callable[[SequenceChunk], Hashable],
    read: Callable[[Sequence[SequenceChunk]], Tensor],
) -> Tensor:
    """Read chunks in one call for each group.

    Args:
        chunks: chunks of a step, at least one.
        group_of: returns the group of a chunk.
        read: reads the chunks of a group, and returns a row of logits for each chunk with `needs_logits`, in order.

    Returns:
        (W, V) logits after the last token of each of the W chunks with `needs_logits`, in the order of `chunks`.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, chunk in enumerate(chunks):
        groups.setdefault(group_of(chunk), []).append(index)
    if len(groups) == 1:
        return read(chunks)
    logits = torch.cat([read([chunks[index] for index in indices]) for indices in groups.values()])
    order = [index for indices in groups.values() for index in indices if chunks[index].needs_logits]
    return logits[torch.tensor(order, dtype=torch.long, device=logits.device).argsort()]

"""Sum metrics over the processes of a distributed run."""

from collections.abc import Sequence

import torch
from pytorch_lightning.strategies import Strategy

from convmodel.metrics.likelihood import TokenCounts


def sum_token_counts(counts: TokenCounts, strategy: Strategy) -> TokenCounts:
    """Return the counts summed over all processes; every process gets the same result."""
    total, tokens = sum_over_processes([counts.total, counts.tokens], strategy)
    return TokenCounts(total, int(tokens))


def sum_over_processes(values: Sequence[float], strategy: Strategy) -> list[float]:
    """Return each value summed over all processes; every process gets the same result."""
    device = strategy.root_device
    dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
    reduced = strategy.reduce(torch.tensor(values, dtype=dtype, device=device), reduce_op="sum")
    assert isinstance(reduced, torch.Tensor)
    sums: list[float] = reduced.tolist()
    return sums

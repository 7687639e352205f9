"""Token counts of one process in, those of all processes out."""

from collections.abc import Sequence

import torch
from pytorch_lightning.strategies import Strategy

from convmodel.metrics.likelihood import TokenCounts


def over_all_processes(counts: TokenCounts, strategy: Strategy) -> TokenCounts:
    """The sums over all processes, the same in each of them."""
    total, tokens = summed_over_processes([counts.total, counts.tokens], strategy)
    return TokenCounts(total, int(tokens))


def summed_over_processes(values: Sequence[float], strategy: Strategy) -> list[float]:
    """Each value summed over all processes, the same in each of them."""
    device = strategy.root_device
    exact = torch.float32 if device.type == "mps" else torch.float64
    reduced = strategy.reduce(torch.tensor(values, dtype=exact, device=device), reduce_op="sum")
    assert isinstance(reduced, torch.Tensor)
    found: list[float] = reduced.tolist()
    return found

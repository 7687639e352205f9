"""Token counts of one process in, those of all processes out."""

import torch
from pytorch_lightning.strategies import Strategy

from convmodel.metrics.likelihood import TokenCounts


def over_all_processes(counts: TokenCounts, strategy: Strategy) -> TokenCounts:
    """The sums over all processes, the same in each of them."""
    device = strategy.root_device
    exact = torch.float32 if device.type == "mps" else torch.float64
    sums = torch.tensor([counts.total, counts.tokens], dtype=exact, device=device)
    reduced = strategy.reduce(sums, reduce_op="sum")
    assert isinstance(reduced, torch.Tensor)
    total, tokens = reduced.tolist()
    return TokenCounts(total, int(tokens))

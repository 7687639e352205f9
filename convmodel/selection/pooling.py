"""Hidden states of texts in, one vector for each text out."""

from typing import Literal, get_args

import torch
from torch import Tensor

Pooling = Literal["first", "mean", "last"]
"""Which tokens a text's vector comes from."""


def pool(hidden: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """Makes one vector of a text's tokens; padding, on whichever side, never counts.

    Args:
        hidden: (B, T, D).
        mask: (B, T), nonzero where a token is no padding; at least one in each row.
        how: the first token, the last one, or the mean of all.

    Returns:
        (B, D)

    Raises:
        ValueError: for another way of pooling.
    """
    there = mask.bool()
    if how == "mean":
        kept = hidden.masked_fill(~there[..., None], 0)
        return kept.sum(1) / there.sum(1, keepdim=True).to(hidden.dtype)
    if how not in get_args(Pooling):
        raise ValueError(f"pooling={how!r}; allowed are {', '.join(get_args(Pooling))}")
    places = torch.arange(hidden.shape[1], device=hidden.device).expand_as(there)
    if how == "first":
        place = places.masked_fill(~there, hidden.shape[1]).amin(1)
    else:
        place = places.masked_fill(~there, -1).amax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), place]

"""Pooling and scoring functions of the bi-encoder and the poly-encoder.

Source: arXiv:1905.01969, sections 4.2 and 4.4.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

Pooling = Literal["first", "mean", "last", "max"]
"""The way to compute a text's vector from its tokens' hidden states.

It is the state of the first or last token, or the mean or the maximum of each dimension over all tokens.
"""

PolyType = Literal["learnt", "first", "last"]
"""Source of a context's vectors: learnt codes that attend over its tokens, or its first or last hidden states."""


def check_pooling(pooling: Pooling) -> None:
    """Raise ValueError for an unknown pooling."""
    if pooling not in get_args(Pooling):
        raise ValueError(f"pooling={pooling!r}; allowed are {', '.join(get_args(Pooling))}")


def attend(queries: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Compute dot-product attention over values that are their own keys, without scaling, as in the poly-encoder.

    Args:
        queries: (M, D) or (B, M, D) queries.
        values: (B, T, D) keys and values.
        mask: (B, T), nonzero for valid values; at least one in each row.

    Returns:
        (B, M, D) attended values.
    """
    scores = queries @ values.transpose(1, 2)
    weights = scores.masked_fill(~mask.bool()[:, None], -torch.inf).softmax(-1)
    return weights @ values.masked_fill(~mask.bool()[..., None], 0)


class PolyContext(nn.Module):
    """Computes M vectors of a context from its hidden states of width D.

    Args:
        width: D.
        num_codes: M, at least 1.
        kind: the source of the vectors, see `PolyType`.

    Raises:
        ValueError: for fewer than one vector, or an unknown kind.
    """

    def __init__(self, width: int, num_codes: int, kind: PolyType = "learnt") -> None:
        super().__init__()
        if num_codes < 1 or kind not in get_args(PolyType):
            raise ValueError(
                f"num_codes={num_codes}, kind={kind!r}; allowed are at least 1, and {', '.join(get_args(PolyType))}"
            )
        self.num_codes = num_codes
        self.kind = kind
        # The paper draws codes from N(0, D^-1/2), where D^-1/2 is the standard deviation. If it were the mean, all
        # codes would be nearly equal.
        self.codes = nn.Parameter(torch.randn(num_codes, width) * width**-0.5) if kind == "learnt" else None

    def forward(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, M, D) context vectors and a (B, M) mask of valid ones, for (B, T, D) states and a (B, T) mask.

        With the kinds "first" and "last", a context of fewer than M tokens has fewer than M valid vectors.
        """
        if self.codes is not None:
            vectors = attend(self.codes, hidden, mask)
            return vectors, torch.ones(vectors.shape[:2], dtype=torch.bool, device=hidden.device)
        is_token = mask.bool()
        slots = is_token.cumsum(1) - 1  # index of each token among those that are not padding
        if self.kind == "last":
            slots = slots - is_token.sum(1, keepdim=True) + self.num_codes
        selected = is_token & (slots >= 0) & (slots < self.num_codes)
        vectors = hidden.new_zeros(len(hidden), self.num_codes, hidden.shape[2])
        valid = torch.zeros(vectors.shape[:2], dtype=torch.bool, device=hidden.device)
        rows, positions = selected.nonzero(as_tuple=True)
        vectors[rows, slots[rows, positions]] = hidden[rows, positions]
        valid[rows, slots[rows, positions]] = True
        return vectors, valid


def bi_scores(contexts: Tensor, candidates: Tensor) -> Tensor:
    """Return (B, C) dot products of (B, D) contexts with (C, D) candidates for all, or (B, C, D) for each context."""
    if candidates.dim() == 2:
        return contexts @ candidates.T
    return (candidates @ contexts[..., None])[..., 0]


def poly_scores(vectors: Tensor, mask: Tensor, candidates: Tensor) -> Tensor:
    """Return (B, C) scores: a candidate's product with the result of its attention over a context's vectors.

    The products s_m of a candidate with the context's M vectors suffice: the score is sum_m softmax(s)_m s_m, and no
    vector of width D is computed for a pair.

    Args:
        vectors: (B, M, D) context vectors.
        mask: (B, M), true for valid context vectors; at least one in each row.
        candidates: (C, D) for all contexts, or (B, C, D).
    """
    if candidates.dim() == 2:  # one product for all contexts, with the M values of a pair contiguous
        products = (candidates @ vectors.flatten(0, 1).T).view(len(candidates), *vectors.shape[:2]).transpose(0, 1)
    else:
        products = candidates @ vectors.transpose(1, 2)
    if mask.all():
        return (products.softmax(-1) * products).sum(-1)
    weights = products.masked_fill(~mask[:, None], -torch.inf).softmax(-1)
    return (weights * products.masked_fill(~mask[:, None], 0)).sum(-1)


def pool(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """Pool (B, T, D) hidden states into (B, D) vectors, ignoring padding on either side.

    The (B, T) mask is nonzero where a token is not padding, at least once in each row.

    Raises:
        ValueError: for an unknown pooling.
    """
    is_token = mask.bool()
    if pooling == "mean":
        tokens = hidden.masked_fill(~is_token[..., None], 0)
        return tokens.sum(1) / is_token.sum(1, keepdim=True).to(hidden.dtype)
    check_pooling(pooling)
    if pooling == "max":
        return hidden.masked_fill(~is_token[..., None], -torch.inf).amax(1)
    positions = torch.arange(hidden.shape[1], device=hidden.device).expand_as(is_token)
    if pooling == "first":
        position = positions.masked_fill(~is_token, hidden.shape[1]).amin(1)
    else:
        position = positions.masked_fill(~is_token, -1).amax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), position]

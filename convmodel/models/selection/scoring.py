"""Hidden states of contexts and vectors of candidates in, scores out: the heads of bi- and poly-encoder.

Source: arXiv:1905.01969, sections 4.2 and 4.4.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

PolyType = Literal["learnt", "first", "last"]
"""Where a context's vectors come from: codes that attend over its tokens, or its first or last tokens as they are."""


def attend(queries: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Dot-product attention over values that are their own keys, without scaling, as the poly-encoder has it.

    Args:
        queries: (M, D) or (B, M, D).
        values: (B, T, D).
        mask: (B, T), nonzero where there is something to attend to; at least one in each row.

    Returns:
        (B, M, D)
    """
    scores = queries @ values.transpose(1, 2)
    weights = scores.masked_fill(~mask.bool()[:, None], -torch.inf).softmax(-1)
    return weights @ values.masked_fill(~mask.bool()[..., None], 0)


class PolyContext(nn.Module):
    """Makes M vectors of a context.

    Args:
        width: D of the encoder.
        num_codes: M.
        kind: see `PolyType`.

    Raises:
        ValueError: for no codes, or another kind.
    """

    def __init__(self, width: int, num_codes: int, kind: PolyType = "learnt") -> None:
        super().__init__()
        if num_codes < 1 or kind not in get_args(PolyType):
            raise ValueError(
                f"num_codes={num_codes}, kind={kind!r}; allowed are at least 1, and {', '.join(get_args(PolyType))}"
            )
        self.num_codes, self.kind = num_codes, kind
        # The paper's N(0, D^-1/2) names the standard deviation; as the mean it would make all codes alike.
        self.codes = nn.Parameter(torch.randn(num_codes, width) * width**-0.5) if kind == "learnt" else None

    def forward(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, D) states and their (B, T) mask in; (B, M, D) vectors and a (B, M) mask of those that are there out.

        A context shorter than M tokens has fewer first or last ones.
        """
        if self.codes is not None:
            vectors = attend(self.codes, hidden, mask)
            return vectors, torch.ones(vectors.shape[:2], dtype=torch.bool, device=hidden.device)
        there = mask.bool()
        number = there.cumsum(1) - 1  # of each token among those that are no padding
        if self.kind == "last":
            number = number - there.sum(1, keepdim=True) + self.num_codes
        wanted = there & (number >= 0) & (number < self.num_codes)
        vectors = hidden.new_zeros(len(hidden), self.num_codes, hidden.shape[2])
        found = torch.zeros(vectors.shape[:2], dtype=torch.bool, device=hidden.device)
        rows, places = wanted.nonzero(as_tuple=True)
        vectors[rows, number[rows, places]] = hidden[rows, places]
        found[rows, number[rows, places]] = True
        return vectors, found


def bi_scores(contexts: Tensor, candidates: Tensor) -> Tensor:
    """(B, D) contexts and (C, D) candidates, or (B, C, D) candidates of each, in; (B, C) dot products out."""
    if candidates.dim() == 2:
        return contexts @ candidates.T
    return (candidates @ contexts[..., None])[..., 0]


def poly_scores(vectors: Tensor, found: Tensor, candidates: Tensor) -> Tensor:
    """The poly-encoder's score: each candidate attends over a context's vectors, and is multiplied with what it sees.

    With s_m the products of a candidate and a context's vectors, the product of what it sees is sum_m softmax(s)_m s_m:
    no vector of the width D is built for any pair.

    Args:
        vectors: (B, M, D), of contexts.
        found: (B, M), which of them are there; at least one in each row.
        candidates: (C, D), or (B, C, D) for candidates of each context.

    Returns:
        (B, C), higher is better.
    """
    if candidates.dim() == 2:  # one product for all contexts, the M numbers of a pair side by side
        products = (candidates @ vectors.flatten(0, 1).T).view(len(candidates), *vectors.shape[:2]).transpose(0, 1)
    else:
        products = candidates @ vectors.transpose(1, 2)
    if found.all():
        return (products.softmax(-1) * products).sum(-1)
    weights = products.masked_fill(~found[:, None], -torch.inf).softmax(-1)
    return (weights * products.masked_fill(~found[:, None], 0)).sum(-1)


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

"""Encoded contexts and cached candidates in, the exact best of all candidates out."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from convmodel.selection.heads import bi_scores, poly_scores

CHUNK = 4_096
"""Candidates that are multiplied at once: what is built for them stays in the caches of a CPU."""


@dataclass(frozen=True, slots=True)
class Best:
    """The k best candidates of each of B contexts.

    Args:
        ids: (B, k), best first; of equal scores the smaller number first.
        scores: (B, k).
    """

    ids: Tensor
    scores: Tensor


def search_bi(contexts: Tensor, candidates: Tensor, k: int, *, chunk: int = CHUNK) -> Best:
    """The best by dot product.

    Args:
        contexts: (B, D).
        candidates: (N, D), cached; may be memory-mapped.
        k: how many; all when there are fewer.
        chunk: candidates that are multiplied at once.

    Raises:
        ValueError: for no candidates, or k below 1.
    """
    return _search(lambda part: bi_scores(contexts, part), contexts, candidates, k, chunk)


def search_poly(vectors: Tensor, found: Tensor, candidates: Tensor, k: int, *, chunk: int = CHUNK) -> Best:
    """The best by the poly-encoder's score.

    Args:
        vectors, found: of the contexts, (B, M, D) and (B, M), as `PolyContext` gives them.
        candidates: (N, D), cached; may be memory-mapped.
        k: how many; all when there are fewer.
        chunk: candidates that are multiplied at once.

    Raises:
        ValueError: for no candidates, or k below 1.
    """
    return _search(lambda part: poly_scores(vectors, found, part), vectors, candidates, k, chunk)


def _search(score: Callable[[Tensor], Tensor], like: Tensor, candidates: Tensor, k: int, chunk: int) -> Best:
    """Scores chunk after chunk, and keeps the best so far."""
    if k < 1 or not len(candidates):
        raise ValueError(f"k={k} of {len(candidates)} candidates; ask for at least 1 of at least 1")
    ids = torch.empty(len(like), 0, dtype=torch.long, device=like.device)
    scores = like.new_empty(len(like), 0)
    for start in range(0, len(candidates), chunk):
        part = candidates[start : start + chunk].to(like)
        found = score(part)
        places = torch.arange(start, start + len(part), device=like.device).expand_as(found)
        new_ids, new_scores = _best(places, found, k)
        ids, scores = _best(torch.cat([ids, new_ids], 1), torch.cat([scores, new_scores], 1), k)
    return Best(ids, scores)


def _best(ids: Tensor, scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best of each row; among equal scores those that stand first."""
    k = min(k, scores.shape[1])
    least = scores.topk(k).values[:, -1:]
    enough = int((scores >= least).sum(1).amax())  # more than k where the last ones are equal
    places = scores.topk(enough).indices.sort(1).values  # topk keeps no order among equals
    ids, scores = ids.gather(1, places), scores.gather(1, places)
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    return ids.gather(1, order), scores.gather(1, order)

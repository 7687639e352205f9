"""Encoded contexts and cached candidates in, the exact best of all candidates out."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from convmodel.models.selection.search.bounds import Float32Pass, Int8Pass, ScoreBounds, SearchQueries, softmax_sum
from convmodel.models.selection.search.pruning import Pairs, best_of_each, survivors
from convmodel.models.selection.search.vectors import CandidateMatrix

CHUNK = 8_192
"""Candidates that are multiplied at once: what is built for them stays in the caches of a CPU."""

ROWS = 128
"""Vectors of contexts that are multiplied at once, for the same reason."""

SPARSE = 16
"""At most one of so many pairs is scored by itself; where more may be among the best, all are scored again."""


@dataclass(frozen=True, slots=True)
class TopK:
    """The k best candidates of each of B contexts.

    Args:
        ids: (B, k), best first; of equal scores the smaller number first.
        scores: (B, k).
    """

    ids: Tensor
    scores: Tensor


def search_bi(contexts: Tensor, candidates: Tensor | CandidateMatrix, k: int, *, chunk: int = CHUNK) -> TopK:
    """The best by dot product.

    Args:
        contexts: (B, D).
        candidates: (N, D), cached; may be memory-mapped. Those that are searched more than once are best made
            `CandidateMatrix` first.
        k: how many; all when there are fewer.
        chunk: candidates that are multiplied at once.

    Returns:
        The scores are those of float64, rounded to float32 (not for contexts in float64): neither the order in which
        candidates lie nor the number of threads decides between two that are equal.

    Raises:
        ValueError: for no candidates, or k below 1.
    """
    found = torch.ones(len(contexts), 1, dtype=torch.bool, device=contexts.device)
    return search_poly(contexts[:, None], found, candidates, k, chunk=chunk)


def search_poly(
    vectors: Tensor, found: Tensor, candidates: Tensor | CandidateMatrix, k: int, *, chunk: int = CHUNK
) -> TopK:
    """The best by the poly-encoder's score.

    Args:
        vectors, found: of the contexts, (B, M, D) and (B, M), as `PolyContext` gives them.
        candidates, k, chunk: see `search_bi`.

    Returns:
        See `search_bi`.

    Raises:
        ValueError: for no candidates, or k below 1.
    """
    shelf = candidates if isinstance(candidates, CandidateMatrix) else CandidateMatrix(candidates, quantise=False)
    if k < 1 or not shelf.left:
        raise ValueError(f"k={k} of {shelf.left} candidates; ask for at least 1 of at least 1")
    if vectors.dtype != torch.float64:
        vectors = vectors.float()
    many = max(1, ROWS // vectors.shape[1])
    parts = [
        _search(
            SearchQueries(vectors[start : start + many], found[start : start + many]), shelf, min(k, shelf.left), chunk
        )
        for start in range(0, len(vectors), many)
    ]
    if not parts:
        return TopK(torch.empty(0, min(k, shelf.left), dtype=torch.long), vectors.new_empty(0, min(k, shelf.left)))
    return TopK(torch.cat([ids for ids, _ in parts]), torch.cat([scores for _, scores in parts]))


def rescored(
    vectors: Tensor, found: Tensor, candidates: CandidateMatrix, rows: Tensor, ids: Tensor, k: int
) -> TopK | None:
    """The best of some pairs, by exact scores.

    Args:
        vectors, found, candidates, k: see `search_poly`.
        rows, ids: (P,), numbers of contexts, in order, and of candidates, of which some may be gone.

    Returns:
        None where a context has fewer than k.
    """
    if candidates.gone is not None:
        left = ~candidates.gone[ids]
        rows, ids = rows[left], ids[left]
    if int(torch.bincount(rows, minlength=len(vectors)).min()) < k:
        return None
    queries = SearchQueries(vectors if vectors.dtype == torch.float64 else vectors.float(), found)
    nothing = torch.empty(len(rows))
    return TopK(*_narrowed(queries, candidates, Pairs(rows, ids, nothing, nothing), k))


def _search(queries: SearchQueries, candidates: CandidateMatrix, k: int, chunk: int) -> tuple[Tensor, Tensor]:
    """Narrows down by the quickest pass that leaves few enough, and scores those that are left exactly."""
    limit = len(queries) * len(candidates) // SPARSE
    for each in _passes(queries, candidates, chunk) if k * SPARSE < len(candidates) else ():
        pairs = survivors(each, k, exact=partial(_exact, queries, candidates), limit=limit)
        if pairs is not None:
            return _narrowed(queries, candidates, pairs, k)
    return _all(queries, candidates, k, chunk)


def _passes(queries: SearchQueries, candidates: CandidateMatrix, chunk: int) -> Iterator[ScoreBounds]:
    if queries.vectors.dtype == torch.float64:
        return
    if queries.vectors.device.type == "cpu" and candidates.quantised() is not None:
        yield Int8Pass(queries, candidates)
    yield Float32Pass(queries, candidates, chunk)


def _narrowed(queries: SearchQueries, candidates: CandidateMatrix, pairs: Pairs, k: int) -> tuple[Tensor, Tensor]:
    """The best of some pairs."""
    scores = _exact(queries, candidates, pairs.rows, pairs.ids).to(queries.vectors.dtype)
    places, _ = best_of_each(pairs.rows, scores, count=len(queries), k=k)
    return pairs.ids[places], scores[places]


def _exact(queries: SearchQueries, candidates: CandidateMatrix, rows: Tensor, ids: Tensor) -> Tensor:
    """(P,) scores of pairs, which are in the order of their contexts, as float64 has them."""
    vectors = queries.vectors.to(_exact_type(queries.vectors.device))
    numbers = ids.split(torch.bincount(rows, minlength=len(queries)).tolist())
    found = []
    for context, there, mine in zip(vectors, queries.found, numbers, strict=True):
        for some in mine.split(CHUNK):
            found.append(_scores(context[None], there[None], candidates.take(some, vectors))[0])
    return torch.cat(found)


def _scores(vectors: Tensor, found: Tensor, candidates: Tensor) -> Tensor:
    """(B, n) scores of candidates."""
    products = (vectors.flatten(0, 1) @ candidates.T).view(*vectors.shape[:2], -1)
    return softmax_sum(products, None if found.all() else ~found[..., None])


def _all(queries: SearchQueries, candidates: CandidateMatrix, k: int, chunk: int) -> tuple[Tensor, Tensor]:
    """Scores all of them exactly, and keeps the best so far."""
    vectors = queries.vectors.to(_exact_type(queries.vectors.device))
    filled = SearchQueries(vectors, queries.found).filled().view_as(vectors)
    ids = torch.empty(len(vectors), 0, dtype=torch.long, device=vectors.device)
    scores = queries.vectors.new_empty(len(vectors), 0)
    for start in range(0, len(candidates), chunk):
        found = _scores(filled, queries.found, candidates.block(start, chunk, vectors)).to(scores)
        found = candidates.without(start, found)
        places = torch.arange(start, start + found.shape[1], device=vectors.device).expand_as(found)
        new_ids, new_scores = _best(places, found, k)
        ids, scores = _best(torch.cat([ids, new_ids], 1), torch.cat([scores, new_scores], 1), k)
    return ids, scores


def _best(ids: Tensor, scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best of each row; among equal scores those that stand first."""
    k = min(k, scores.shape[1])
    least = scores.topk(k).values[:, -1:]
    enough = int((scores >= least).sum(1).amax())  # more than k where the last ones are equal
    places = scores.topk(enough).indices.sort(1).values  # topk keeps no order among equals
    ids, scores = ids.gather(1, places), scores.gather(1, places)
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    return ids.gather(1, order), scores.gather(1, order)


def _exact_type(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # which has no other

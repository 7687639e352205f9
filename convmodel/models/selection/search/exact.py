"""Exact top-k search among cached candidate vectors, by dot product or by the poly-encoder's score."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from convmodel.models.selection.search.bounds import Float32Pass, Int8Pass, ScoreBounds
from convmodel.models.selection.search.pruning import Pairs, survivors, top_pairs
from convmodel.models.selection.search.query import Query, add_up
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts

CHUNK = 8_192
"""Number of candidates multiplied at once, so that intermediate results stay in a CPU's caches."""

ROWS = 128
"""Number of context vectors multiplied at once; see `CHUNK`."""

SPARSE = 16
"""Limit of pruning: if more than 1 / SPARSE of all pairs survive it, all pairs are scored instead of the survivors."""


@dataclass(frozen=True, slots=True)
class TopK:
    """The (B, k) indices and scores of each context's best candidates, best first.

    Candidates with equal scores are in ascending order of their indices.
    """

    ids: Tensor
    scores: Tensor


def search_exact(
    contexts: EncodedContexts | Query, candidates: Tensor | CandidateMatrix, k: int, *, chunk: int = CHUNK
) -> TopK:
    """Return the k best candidates of each context: by the poly-encoder's score, or by dot product for single vectors.

    Scores are computed in float64 and rounded to float32, so that equal candidates get equal scores, at any position
    and with any number of threads. For contexts in float64 they are not rounded.

    Args:
        contexts: the contexts, or a query, which defines another score.
        candidates: (N, D) vectors; may be memory-mapped. For repeated searches, pass the same `CandidateMatrix`.
        k: number of candidates to return; all of them if there are fewer.
        chunk: number of candidates multiplied at once.

    Raises:
        ValueError: for no candidates, or k below 1.
    """
    matrix = candidates if isinstance(candidates, CandidateMatrix) else CandidateMatrix(candidates, quantise=False)
    if k < 1 or not matrix.left:
        raise ValueError(f"k={k} of {matrix.left} candidates; ask for at least 1 of at least 1")
    query = Query.of(contexts)
    query = query.to(query.dtype)
    k = min(k, matrix.left)
    step = max(1, ROWS // max(query.vectors, 1))
    parts = [
        _search(query.select(slice(start, start + step)), matrix, k, chunk) for start in range(0, len(query), step)
    ]
    if not parts:
        return TopK(torch.empty(0, k, dtype=torch.long), torch.empty(0, k, dtype=query.dtype))
    return TopK(torch.cat([part.ids for part in parts]), torch.cat([part.scores for part in parts]))


def rescore_pairs(
    contexts: EncodedContexts, candidates: CandidateMatrix, rows: Tensor, ids: Tensor, k: int
) -> TopK | None:
    """Return the k best candidates of each context, by exact scores, among given pairs of context and candidate.

    Args:
        rows: (P,) context indices of the pairs, in ascending order.
        ids: (P,) candidate indices of the pairs; removed candidates are skipped.

    Returns:
        The candidates; None if a context has fewer than k pairs.
    """
    if candidates.removed is not None:
        kept = ~candidates.removed[ids]
        rows = rows[kept]
        ids = ids[kept]
    if int(torch.bincount(rows, minlength=len(contexts)).min()) < k:
        return None
    unused = torch.empty(len(rows))
    query = Query.of(contexts)
    return _best_pairs(query.to(query.dtype), candidates, Pairs(rows, ids, unused, unused), k)


def merge(parts: Sequence[TopK], k: int) -> TopK:
    """Return the k best candidates of each context among those of several searches.

    Args:
        parts: results of searches among disjoint candidates: those of the first part have the smallest ids, and so on.
    """
    return _best(torch.cat([part.ids for part in parts], 1), torch.cat([part.scores for part in parts], 1), k)


def score_all(query: Query, candidates: Tensor) -> Tensor:
    """Return the (B, N) exact scores of a query for (N, D) candidates."""
    exact = query.to(_exact_type(query.device))
    return _scores(exact, candidates, exact.offsets)


def _search(query: Query, candidates: CandidateMatrix, k: int, chunk: int) -> TopK:
    """Prune with the fastest bounds that leave few pairs, and score these exactly; without such bounds, score all."""
    limit = len(query) * len(candidates) // SPARSE
    for bounds in _bounds(query, candidates, chunk) if k * SPARSE < len(candidates) else ():
        pairs = survivors(bounds, k, exact=partial(_exact, query, candidates), limit=limit)
        if pairs is not None:
            return _best_pairs(query, candidates, pairs, k)
    return _search_all(query, candidates, k, chunk)


def _bounds(query: Query, candidates: CandidateMatrix, chunk: int) -> Iterator[ScoreBounds]:
    """Yield the applicable bounds, fastest first; none for float64 contexts, for which float32 is too imprecise."""
    if query.dtype == torch.float64 or not query.terms:
        return
    if query.device.type == "cpu" and candidates.quantised() is not None:
        yield Int8Pass(query, candidates)
    yield Float32Pass(query, candidates, chunk)


def _best_pairs(query: Query, candidates: CandidateMatrix, pairs: Pairs, k: int) -> TopK:
    """Return the k best candidates of each context among pairs, by exact scores."""
    scores = _exact(query, candidates, pairs.rows, pairs.ids).to(query.dtype)
    positions, _ = top_pairs(pairs.rows, scores, count=len(query), k=k)
    return TopK(pairs.ids[positions], scores[positions])


def _exact(query: Query, candidates: CandidateMatrix, rows: Tensor, ids: Tensor) -> Tensor:
    """Return the (P,) exact scores, in float64, of pairs sorted by context."""
    exact = query.to(_exact_type(query.device))
    ids_by_context = torch.split(ids, torch.bincount(rows, minlength=len(query)).tolist())
    scores = []
    for row, context_ids in enumerate(ids_by_context):
        context = exact.select(slice(row, row + 1))
        for chunk in torch.split(context_ids, CHUNK):
            offsets = None if context.offsets is None else context.offsets[:, chunk.to(context.offsets.device)]
            vectors = candidates.take(chunk, torch.empty(0, dtype=_exact_type(query.device), device=query.device))
            scores.append(_scores(context, vectors, offsets)[0])
    return torch.cat(scores)


def _scores(query: Query, candidates: Tensor, offsets: Tensor | None) -> Tensor:
    """Return the (B, n) scores of a query for (n, D) candidates with (B, n) offsets."""
    given = None if offsets is None else offsets.to(_exact_type(query.device)).to(query.device)
    if not query.terms:
        return add_up(query, candidates.new_empty(0, len(candidates)), given)
    rows = query.rows()
    return add_up(query, rows @ candidates.to(rows).T, given)


def _search_all(query: Query, candidates: CandidateMatrix, k: int, chunk: int) -> TopK:
    """Score all candidates exactly, chunk by chunk, and keep the best so far."""
    exact = query.to(_exact_type(query.device))
    like = torch.empty(0, dtype=_exact_type(query.device), device=query.device)
    ids = torch.empty(len(query), 0, dtype=torch.long, device=query.device)
    best = TopK(ids, torch.empty(len(query), 0, dtype=query.dtype, device=query.device))
    for start in range(0, len(candidates), chunk):
        offsets = None if exact.offsets is None else exact.offsets[:, start : start + chunk]
        scores = _scores(exact, candidates.block(start, chunk, like), offsets).to(best.scores)
        scores = candidates.mask_removed(start, scores)
        ids = torch.arange(start, start + scores.shape[1], device=query.device).expand_as(scores)
        new = _best(ids, scores, k)
        best = _best(torch.cat([best.ids, new.ids], 1), torch.cat([best.scores, new.scores], 1), k)
    return best


def _best(ids: Tensor, scores: Tensor, k: int) -> TopK:
    """Return the k best scores of each row with their ids; among equal scores, those with smaller columns."""
    k = min(k, scores.shape[1])
    threshold = scores.topk(k).values[:, -1:]
    count = int((scores >= threshold).sum(1).amax())  # more than k where scores equal the k-th best
    columns = scores.topk(count).indices.sort(1).values  # topk gives equal scores in no particular order
    ids = ids.gather(1, columns)
    scores = scores.gather(1, columns)
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    return TopK(ids.gather(1, order), scores.gather(1, order))


def _exact_type(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64

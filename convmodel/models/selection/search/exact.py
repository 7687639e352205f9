"""Exact top-k search over cached candidate vectors, by dot product or by the poly-encoder's score."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from convmodel.models.selection.search.bounds import Float32Pass, Int8Pass, ScoreBounds, softmax_sum
from convmodel.models.selection.search.pruning import Pairs, survivors, top_pairs
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts

CHUNK = 8_192
"""Number of candidates multiplied at once, so that intermediate results stay in a CPU's caches."""

ROWS = 128
"""Number of context vectors multiplied at once, for the same reason."""

SPARSE = 16
"""Surviving pairs are scored one by one if they are at most 1 / SPARSE of all pairs; otherwise all pairs are scored."""


@dataclass(frozen=True, slots=True)
class TopK:
    """The (B, k) best candidates of each of B contexts, best first; of equal scores the smaller index first."""

    ids: Tensor
    scores: Tensor


def search_exact(
    contexts: EncodedContexts, candidates: Tensor | CandidateMatrix, k: int, *, chunk: int = CHUNK
) -> TopK:
    """Return the k best candidates of each context by the poly-encoder's score; with one vector, the dot product.

    Scores are computed in float64 and rounded to float32 (not for contexts in float64), so that neither the order of
    the candidates nor the number of threads decides between two equal scores.

    Args:
        candidates: (N, D); may be memory-mapped. Wrap what is searched repeatedly in a `CandidateMatrix` first.
        k: number of candidates to return; all of them when there are fewer.
        chunk: number of candidates multiplied at once.

    Raises:
        ValueError: for no candidates, or k below 1.
    """
    matrix = candidates if isinstance(candidates, CandidateMatrix) else CandidateMatrix(candidates, quantise=False)
    if k < 1 or not matrix.left:
        raise ValueError(f"k={k} of {matrix.left} candidates; ask for at least 1 of at least 1")
    vectors = _at_least_float32(contexts.vectors)
    k = min(k, matrix.left)
    step = max(1, ROWS // vectors.shape[1])
    rows = [slice(start, start + step) for start in range(0, len(vectors), step)]
    parts = [_search(EncodedContexts(vectors[part], contexts.mask[part]), matrix, k, chunk) for part in rows]
    if not parts:
        return TopK(torch.empty(0, k, dtype=torch.long), vectors.new_empty(0, k))
    return TopK(torch.cat([part.ids for part in parts]), torch.cat([part.scores for part in parts]))


def rescore_pairs(
    contexts: EncodedContexts, candidates: CandidateMatrix, rows: Tensor, ids: Tensor, k: int
) -> TopK | None:
    """Return the k best of given pairs by exact scores; None where a context has fewer than k pairs.

    Args:
        rows, ids: (P,) ascending context indices, and candidate indices; removed candidates are skipped.
    """
    if candidates.removed is not None:
        kept = ~candidates.removed[ids]
        rows = rows[kept]
        ids = ids[kept]
    if int(torch.bincount(rows, minlength=len(contexts)).min()) < k:
        return None
    unused = torch.empty(len(rows))
    contexts = EncodedContexts(_at_least_float32(contexts.vectors), contexts.mask)
    return _best_pairs(contexts, candidates, Pairs(rows, ids, unused, unused), k)


def _at_least_float32(vectors: Tensor) -> Tensor:
    return vectors if vectors.dtype == torch.float64 else vectors.float()


def _search(contexts: EncodedContexts, candidates: CandidateMatrix, k: int, chunk: int) -> TopK:
    """Prune with the fastest bounds that leave few enough pairs, and score the survivors exactly."""
    limit = len(contexts) * len(candidates) // SPARSE
    for bounds in _bounds(contexts, candidates, chunk) if k * SPARSE < len(candidates) else ():
        pairs = survivors(bounds, k, exact=partial(_exact, contexts, candidates), limit=limit)
        if pairs is not None:
            return _best_pairs(contexts, candidates, pairs, k)
    return _score_all(contexts, candidates, k, chunk)


def _bounds(contexts: EncodedContexts, candidates: CandidateMatrix, chunk: int) -> Iterator[ScoreBounds]:
    """Yield the bounds that apply, fastest first; none for float64 contexts, which float32 cannot bound."""
    if contexts.vectors.dtype == torch.float64:
        return
    if contexts.vectors.device.type == "cpu" and candidates.quantised() is not None:
        yield Int8Pass(contexts, candidates)
    yield Float32Pass(contexts, candidates, chunk)


def _best_pairs(contexts: EncodedContexts, candidates: CandidateMatrix, pairs: Pairs, k: int) -> TopK:
    """Return the best pairs of each context by exact scores."""
    scores = _exact(contexts, candidates, pairs.rows, pairs.ids).to(contexts.vectors.dtype)
    positions, _ = top_pairs(pairs.rows, scores, count=len(contexts), k=k)
    return TopK(pairs.ids[positions], scores[positions])


def _exact(contexts: EncodedContexts, candidates: CandidateMatrix, rows: Tensor, ids: Tensor) -> Tensor:
    """Return (P,) scores, in float64, of pairs sorted by context."""
    vectors = contexts.vectors.to(_exact_type(contexts.vectors.device))
    ids_by_context = torch.split(ids, torch.bincount(rows, minlength=len(contexts)).tolist())
    scores = []
    for context, mask, context_ids in zip(vectors, contexts.mask, ids_by_context, strict=True):
        for chunk in torch.split(context_ids, CHUNK):
            scores.append(_scores(context[None], mask[None], candidates.take(chunk, vectors))[0])
    return torch.cat(scores)


def _scores(vectors: Tensor, mask: Tensor, candidates: Tensor) -> Tensor:
    """Return (B, n) poly-encoder scores of (B, M, D) context vectors and (n, D) candidates."""
    products = (vectors.flatten(0, 1) @ candidates.T).view(*vectors.shape[:2], -1)
    return softmax_sum(products, None if mask.all() else ~mask[..., None])


def _score_all(contexts: EncodedContexts, candidates: CandidateMatrix, k: int, chunk: int) -> TopK:
    """Score all candidates exactly, chunk by chunk, and keep the best so far."""
    vectors = contexts.vectors.to(_exact_type(contexts.vectors.device))
    filled = EncodedContexts(vectors, contexts.mask).filled().view_as(vectors)
    ids = torch.empty(len(vectors), 0, dtype=torch.long, device=vectors.device)
    best = TopK(ids, contexts.vectors.new_empty(len(vectors), 0))
    for start in range(0, len(candidates), chunk):
        scores = _scores(filled, contexts.mask, candidates.block(start, chunk, vectors)).to(best.scores)
        scores = candidates.mask_removed(start, scores)
        ids = torch.arange(start, start + scores.shape[1], device=vectors.device).expand_as(scores)
        new = _best(ids, scores, k)
        best = _best(torch.cat([best.ids, new.ids], 1), torch.cat([best.scores, new.scores], 1), k)
    return best


def _best(ids: Tensor, scores: Tensor, k: int) -> TopK:
    """Return the k best of each row; of equal scores, those with the smaller column."""
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

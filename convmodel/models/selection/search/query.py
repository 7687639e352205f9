"""Definition of the scores of a search: weighted sums of terms of vectors, plus offsets that need no vectors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convmodel.models.selection.search.vectors import EncodedContexts


@dataclass(frozen=True, slots=True)
class Term:
    """An addend of a score, computed from the products s_m of a context's M vectors with a candidate's vector.

    Args:
        contexts: the vectors of B contexts.
        weight: factor of the addend.
        attends: whether the addend is the poly-encoder's score sum_m softmax(s)_m s_m; otherwise it is the largest s_m.
            If M is 1, both equal the product.
    """

    contexts: EncodedContexts
    weight: float = 1.0
    attends: bool = True

    @property
    def codes(self) -> int:
        """M, the number of context vectors."""
        return self.contexts.vectors.shape[1]

    @property
    def has_softmax(self) -> bool:
        """Whether a softmax over several products is computed."""
        return self.attends and self.codes > 1


@dataclass(frozen=True, slots=True)
class Query:
    """The scores of B contexts for N candidates: sums of terms and offsets.

    Args:
        terms: terms, each with B contexts; if empty, the offsets are the scores.
        offsets: (B, N) float64 values to add to the scores of the candidates; None for none.
    """

    terms: Sequence[Term]
    offsets: Tensor | None = None

    @classmethod
    def of(cls, contexts: "EncodedContexts | Query") -> "Query":
        """Return the query for the bi-encoder's or poly-encoder's score; a query is returned unchanged."""
        return contexts if isinstance(contexts, Query) else cls([Term(contexts)])

    def __len__(self) -> int:
        if self.terms:
            return len(self.terms[0].contexts)
        return 0 if self.offsets is None else len(self.offsets)

    @property
    def is_plain(self) -> bool:
        """Whether the score is a single term of weight 1, so that no sum is computed."""
        return self.offsets is None and len(self.terms) == 1 and self.terms[0].weight == 1

    @property
    def vectors(self) -> int:
        """The number of vectors of a context in all terms together."""
        return sum(term.codes for term in self.terms)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the vectors, at least float32; float32 without vectors."""
        is_double = any(term.contexts.vectors.dtype == torch.float64 for term in self.terms)
        return torch.float64 if is_double else torch.float32

    @property
    def device(self) -> torch.device:
        """The device of the vectors; without vectors, that of the offsets."""
        if self.terms:
            return self.terms[0].contexts.vectors.device
        return torch.device("cpu") if self.offsets is None else self.offsets.device

    def to(self, dtype: torch.dtype) -> "Query":
        """Return the query with vectors of another type."""
        terms = [
            Term(EncodedContexts(term.contexts.vectors.to(dtype), term.contexts.mask), term.weight, term.attends)
            for term in self.terms
        ]
        return Query(terms, self.offsets)

    def select(self, part: slice) -> "Query":
        """Return the query of some of the contexts."""
        terms = [
            Term(EncodedContexts(term.contexts.vectors[part], term.contexts.mask[part]), term.weight, term.attends)
            for term in self.terms
        ]
        return Query(terms, None if self.offsets is None else self.offsets[part])

    def rows(self) -> Tensor:
        """Return the (R, D) vectors of all terms, one term after another; see `EncodedContexts.filled`."""
        return torch.cat([term.contexts.filled() for term in self.terms])

    def split(self, products: Tensor) -> Iterator[tuple[Term, Tensor]]:
        """Yield each term with its (B, M, n) products, from the (R, n) products of `rows` with n candidates."""
        sizes = [len(self) * term.codes for term in self.terms]
        for term, part in zip(self.terms, products.split(sizes), strict=True):
            yield term, part.view(len(self), term.codes, -1)


def softmax_sum(products: Tensor, missing: Tensor | None) -> Tensor:
    """Return the (B, n) poly-encoder scores sum_m softmax(s)_m s_m. `products` is overwritten.

    Args:
        products: (B, M, n) products s_m of context vectors and candidates.
        missing: (B, M, 1), true for context vectors that do not count; None when all of them count.
    """
    if products.shape[1] == 1:
        return products[:, 0]
    peaks = products.amax(1, keepdim=True)
    # Addends below e^-80 do not change a float32 sum. Smaller ones become denormal, which processors compute slowly.
    weights = (products - peaks).clamp_(min=-80).exp_()
    if missing is not None:
        weights.masked_fill_(missing, 0)
    return products.mul_(weights).sum(1).div_(weights.sum(1))


def add_up(query: Query, products: Tensor, offsets: Tensor | None) -> Tensor:
    """Return the (B, n) scores of a query for n candidates.

    Args:
        query: the query.
        products: (R, n) products of `query.rows()` with the candidates; they are overwritten.
        offsets: (B, n) offsets of these candidates; None for none.
    """
    total = offsets
    for term, part in query.split(products):
        if term.has_softmax:
            mask = term.contexts.mask
            values = softmax_sum(part, None if mask.all() else ~mask[..., None])
        else:
            values = part.amax(1) if term.codes > 1 else part[:, 0]
        weighted = values if term.weight == 1 else values * term.weight
        total = weighted if total is None else total + weighted
    assert total is not None, "a query has terms or offsets"
    return total

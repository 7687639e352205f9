"""Scores to search by: weighted sums of products of context vectors with candidates, and of given values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convmodel.models.selection.search.vectors import EncodedContexts


@dataclass(frozen=True, slots=True)
class Term:
    """An addend of a score: `weight` times one number from the products s_m of M context vectors and a candidate.

    Args:
        attends: whether that number is the poly-encoder's sum_m softmax(s)_m s_m; otherwise it is the largest product.
            With one vector both are the product.
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
    """The score of B contexts and any candidate: the sum of terms and of given values.

    Args:
        terms: terms of B contexts each; without any, the given values are the scores.
        offsets: (B, N) float64 values of all candidates; None where there are none.
    """

    terms: Sequence[Term]
    offsets: Tensor | None = None

    @classmethod
    def of(cls, contexts: "EncodedContexts | Query") -> "Query":
        """Return the query of a bi- or poly-encoder's score; a query is returned unchanged."""
        return contexts if isinstance(contexts, Query) else cls([Term(contexts)])

    def __len__(self) -> int:
        if self.terms:
            return len(self.terms[0].contexts)
        return 0 if self.offsets is None else len(self.offsets)

    @property
    def is_plain(self) -> bool:
        """Whether nothing is added up: one term of weight 1 is the score."""
        return self.offsets is None and len(self.terms) == 1 and self.terms[0].weight == 1

    @property
    def vectors(self) -> int:
        """The number of vectors of a context, in all terms."""
        return sum(term.codes for term in self.terms)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the vectors, at least float32; float32 without vectors."""
        is_double = any(term.contexts.vectors.dtype == torch.float64 for term in self.terms)
        return torch.float64 if is_double else torch.float32

    @property
    def device(self) -> torch.device:
        """The device of the vectors, otherwise that of the given values."""
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
        """Return the (R, D) vectors of all terms, term after term; see `EncodedContexts.filled`."""
        return torch.cat([term.contexts.filled() for term in self.terms])

    def split(self, products: Tensor) -> Iterator[tuple[Term, Tensor]]:
        """Yield each term with its (B, M, n) part of the (R, n) products of `rows` with n candidates."""
        sizes = [len(self) * term.codes for term in self.terms]
        for term, part in zip(self.terms, products.split(sizes), strict=True):
            yield term, part.view(len(self), term.codes, -1)


def softmax_sum(products: Tensor, missing: Tensor | None) -> Tensor:
    """Return the (B, n) poly-encoder scores sum_m softmax(s)_m s_m; changes `products` in place.

    Args:
        products: (B, M, n) products s_m of context vectors and candidates.
        missing: (B, M, 1), true for context vectors that do not count; None when all of them count.
    """
    if products.shape[1] == 1:
        return products[:, 0]
    peaks = products.amax(1, keepdim=True)
    # Terms below e^-80 do not change a float32 sum, and smaller ones become denormal, which processors compute slowly.
    weights = (products - peaks).clamp_(min=-80).exp_()
    if missing is not None:
        weights.masked_fill_(missing, 0)
    return products.mul_(weights).sum(1).div_(weights.sum(1))


def add_up(query: Query, products: Tensor, offsets: Tensor | None) -> Tensor:
    """Return the (B, n) scores of n candidates from the (R, n) products of `Query.rows`, which change in place.

    Args:
        offsets: the (B, n) given values of these candidates.
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

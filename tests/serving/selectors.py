"""A fake selector, for tests of embeddings and rankings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic

from convmodel.responders.protocol import Load, ReplyHandle
from convmodel.responders.text_selector import TextScores, TextValues, TextVectors, ValueT


@dataclass
class FakeValues(Generic[ValueT]):
    """The handle of a request, whose result is known from the start."""

    values: TextValues[ValueT]

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def cancel(self) -> None:
        """Do nothing: the request is over."""

    def result(self) -> TextValues[ValueT]:
        """Return the values."""
        return self.values


class FakeSelector:
    """A selector without a model: vectors are numbers of characters and words, scores are numbers of common words."""

    kind = "bi-encoder"
    load = Load()

    def __init__(self, dimensions: int | None = 2) -> None:
        self.dimensions = dimensions
        self.queries: list[bool] = []

    def embed(self, texts: Sequence[str], *, queries: bool = False) -> ReplyHandle[TextVectors]:
        """Start to count characters and words."""
        self.queries.append(queries)
        vectors: list[Sequence[float]] = [[float(len(text)), float(len(text.split()))] for text in texts]
        return FakeValues(TextValues(vectors, sum(len(text.split()) for text in texts)))

    def rank(self, query: str, documents: Sequence[str]) -> ReplyHandle[TextScores]:
        """Start to count common words."""
        scores = [float(len({*query.split()} & {*text.split()})) for text in documents]
        return FakeValues(TextValues(scores, sum(len(text.split()) for text in [query, *documents]), 3))

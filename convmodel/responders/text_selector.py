"""Protocol of selectors that embed and rank texts, and its results.

This module does not import torch, because the server imports it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from convmodel.responders.protocol import Load, ReplyHandle

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class TextValues(Generic[ValueT]):
    """Values of the texts of a request, such as vectors or scores.

    Args:
        values: one value per text, in the order of the texts. A cancelled request has fewer values.
        tokens: number of tokens that the model read, without separators.
        tokens_dropped: number of tokens beyond the model's maximum length, which were cut off.
    """

    values: Sequence[ValueT]
    tokens: int = 0
    tokens_dropped: int = 0


TextVectors = TextValues[Sequence[float]]
TextScores = TextValues[float]


class TextSelector(Protocol):
    """Protocol of objects that embed and rank texts, such as `SelectorWorker`. Their methods are thread-safe."""

    @property
    def kind(self) -> str:
        """Name of the architecture."""

    @property
    def dimensions(self) -> int | None:
        """Length of a text's vector; None if the architecture does not encode a text as one vector."""

    @property
    def load(self) -> Load:
        """Current load; may be read from any thread."""

    def embed(self, texts: Sequence[str], *, queries: bool = False) -> ReplyHandle[TextVectors]:
        """Return a handle whose result has the vectors of texts.

        Args:
            texts: the texts.
            queries: whether the texts are encoded as queries; otherwise, as documents.

        Raises:
            ValueError: if the architecture does not encode a text as one vector.
        """

    def rank(self, query: str, documents: Sequence[str]) -> ReplyHandle[TextScores]:
        """Return a handle whose result has the scores of documents as replies to a query; higher is better."""

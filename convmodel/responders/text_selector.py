"""The protocol of selectors that embed and rank texts, and its results; free of torch for the server's sake."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from convmodel.responders.protocol import Load, ReplyHandle

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class TextValues(Generic[ValueT]):
    """A value for each text of a request; fewer values for a request that was cancelled.

    Args:
        values: in the order of the texts.
        tokens: number of tokens that the model read, without separators.
        tokens_dropped: number of tokens beyond the model's maximum length, which were cut off.
    """

    values: Sequence[ValueT]
    tokens: int = 0
    tokens_dropped: int = 0


TextVectors = TextValues[Sequence[float]]
TextScores = TextValues[float]


class TextSelector(Protocol):
    """Embeds and ranks texts, such as a `SelectorWorker`; safe to use from several threads."""

    @property
    def kind(self) -> str:
        """Name of the architecture."""

    @property
    def dimensions(self) -> int | None:
        """Length of a text's vector; None for an architecture without one vector for each text."""

    @property
    def load(self) -> Load:
        """Current load; may be read from any thread."""

    def embed(self, texts: Sequence[str], *, queries: bool = False) -> ReplyHandle[TextVectors]:
        """Start to encode texts as documents, or as queries.

        Raises:
            ValueError: for an architecture without one vector for each text.
        """

    def rank(self, query: str, documents: Sequence[str]) -> ReplyHandle[TextScores]:
        """Start to score documents as the reply to a query; higher is better."""

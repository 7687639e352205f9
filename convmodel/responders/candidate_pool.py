"""A context in, the numbers and scores of the candidates that reply best to it out: encoded once, or read with it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from convmodel.models.selection.index.index import CandidateSet
from convmodel.models.selection.inputs import checked_candidates
from convmodel.models.selection.search.exact import TopK
from convmodel.models.selection.selector import DualEncoderSelector, EncodedContexts, Selector

Scored = list[tuple[int, float]]
"""Numbers of candidates and their scores, best first; of equal scores the smaller number first."""


class EncodedCandidates(Protocol):
    """Candidates that were encoded once: an index on the disk, or a list in memory."""

    def __len__(self) -> int:
        """How many there are."""

    def search(self, contexts: EncodedContexts, k: int) -> TopK:
        """The k best for each of B contexts; ids are the numbers of the candidates."""

    def text(self, number: int) -> str:
        """What the candidate of a number says."""

    def metadata(self, number: int) -> Mapping[str, Any] | None:
        """What is known of it."""


class Pool(Protocol):
    """Candidates of whatever kind, with the model that knows them."""

    def __len__(self) -> int:
        """How many there are."""

    def best(self, context: Sequence[str], persona: Sequence[str], k: int) -> Scored:
        """The k best for a context."""

    def text(self, number: int) -> str:
        """What the candidate of a number says."""

    def metadata(self, number: int) -> Mapping[str, Any] | None:
        """What is known of it."""


class SearchedPool:
    """Candidates that are searched by their vectors.

    Args:
        selector: encoded them, and encodes contexts.
        candidates: with their vectors.
    """

    def __init__(self, selector: DualEncoderSelector[Any, Any], candidates: EncodedCandidates) -> None:
        self._selector, self._candidates = selector, candidates
        self.text, self.metadata = candidates.text, candidates.metadata

    def __len__(self) -> int:
        return len(self._candidates)

    def best(self, context: Sequence[str], persona: Sequence[str], k: int) -> Scored:
        """See `Pool`."""
        encoded = self._selector.encode_contexts([context], personas=[persona])
        found = self._candidates.search(encoded, k)
        return list(zip(found.ids[0].tolist(), found.scores[0].tolist(), strict=True))


class ReadPool:
    """A few candidates that are read together with every context, as a cross-encoder does.

    Args:
        selector: of any kind.
        texts: at least one, numbered from 0.
        metadata: what is known of each, if anything is.

    Raises:
        TypeError, ValueError: for a text that is empty or no text, or for none.
    """

    def __init__(
        self, selector: Selector, texts: Sequence[str], metadata: Sequence[Mapping[str, Any] | None] | None = None
    ) -> None:
        self._selector, self._texts = selector, checked_candidates(texts)
        self._metadata = metadata

    def __len__(self) -> int:
        return len(self._texts)

    def best(self, context: Sequence[str], persona: Sequence[str], k: int) -> Scored:
        """See `Pool`."""
        scores = self._selector.score([context], self._texts, personas=[persona])[0].tolist()
        return sorted(enumerate(scores), key=lambda scored: -scored[1])[:k]

    def text(self, number: int) -> str:
        """See `Pool`."""
        return self._texts[number]

    def metadata(self, number: int) -> Mapping[str, Any] | None:
        """See `Pool`."""
        return self._metadata[number] if self._metadata is not None else None


def listed_pool(
    selector: Selector, texts: Sequence[str], metadata: Sequence[Mapping[str, Any] | None] | None = None
) -> SearchedPool | ReadPool:
    """A list of candidates: encoded now where the selector can, and otherwise read with every context."""
    if isinstance(selector, DualEncoderSelector):
        return SearchedPool(selector, CandidateSet(selector, texts, metadata=metadata))
    return ReadPool(selector, texts, metadata)


def pool_of(selector: Selector, candidates: EncodedCandidates | SearchedPool | ReadPool | Sequence[str]) -> Pool:
    """Candidates that a selector chooses from.

    Raises:
        TypeError: for a selector that keeps nothing of a candidate, with candidates that are searched.
        ValueError: when there are none.
    """
    if isinstance(candidates, SearchedPool | ReadPool):
        return candidates
    if isinstance(candidates, Sequence):
        return listed_pool(selector, candidates)
    if not isinstance(selector, DualEncoderSelector):
        raise TypeError(
            f"a {selector.kind} reads context and candidate together and cannot search what was encoded; give the "
            "candidates as texts, or let another selector choose and this one rank: Hybrid(scorer=SelectorScorer(...))"
        )
    if not len(candidates):
        raise ValueError("there are no candidates to choose from; give at least one")
    return SearchedPool(selector, candidates)

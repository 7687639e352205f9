"""Candidate pools of a chooser: searched by vectors encoded in advance, or scored together with each context."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from convmodel.models.selection.dual_encoder import DualEncoderSelector, EncodedContexts
from convmodel.models.selection.index.index import CandidateSet
from convmodel.models.selection.inputs import checked_candidates
from convmodel.models.selection.search.exact import TopK
from convmodel.models.selection.selector import Selector

ScoredNumbers = list[tuple[int, float]]
"""Numbers of candidates and their scores, best first; equal scores by increasing number."""


class EncodedCandidates(Protocol):
    """Candidates that were encoded once: an index on disk, or a list in memory."""

    def __len__(self) -> int:
        """Return the number of candidates."""

    def search(self, contexts: EncodedContexts, k: int) -> TopK:
        """Return the k best candidates for each of B contexts; the ids are numbers of candidates."""

    def text(self, number: int) -> str:
        """Return the text of a candidate."""

    def metadata(self, number: int) -> Mapping[str, Any] | None:
        """Return the metadata of a candidate, if any."""


class Pool(Protocol):
    """Candidates with the selector that scores them."""

    def __len__(self) -> int:
        """Return the number of candidates."""

    def best(self, context: Sequence[str], persona: Sequence[str], k: int) -> ScoredNumbers:
        """Return the k best candidates for a context."""

    def text(self, number: int) -> str:
        """Return the text of a candidate."""

    def metadata(self, number: int) -> Mapping[str, Any] | None:
        """Return the metadata of a candidate, if any."""


class VectorPool:
    """Candidates that are searched by their vectors.

    Args:
        selector: the dual encoder that encoded the candidates; it also encodes contexts.
        candidates: the encoded candidates.
    """

    def __init__(self, selector: DualEncoderSelector[Any, Any], candidates: EncodedCandidates) -> None:
        self._selector = selector
        self._candidates = candidates
        self.text = candidates.text
        self.metadata = candidates.metadata

    def __len__(self) -> int:
        return len(self._candidates)

    def best(self, context: Sequence[str], persona: Sequence[str], k: int) -> ScoredNumbers:
        """Return the k best candidates for a context."""
        encoded = self._selector.encode_contexts([context], personas=[persona])
        top = self._candidates.search(encoded, k)
        return list(zip(top.ids[0].tolist(), top.scores[0].tolist(), strict=True))


class JointPool:
    """A few candidates that a selector reads together with each context, as a cross-encoder does.

    Args:
        selector: a selector of any kind.
        texts: at least one text; numbered from 0.
        metadata: metadata of each text, if any.

    Raises:
        TypeError, ValueError: for an empty text, a value that is not a string, or an empty list.
    """

    def __init__(
        self, selector: Selector, texts: Sequence[str], metadata: Sequence[Mapping[str, Any] | None] | None = None
    ) -> None:
        self._selector = selector
        self._texts = checked_candidates(texts)
        self._metadata = metadata

    def __len__(self) -> int:
        return len(self._texts)

    def best(self, context: Sequence[str], persona: Sequence[str], k: int) -> ScoredNumbers:
        """Return the k best candidates for a context."""
        scores = self._selector.score([context], self._texts, personas=[persona])[0].tolist()
        return sorted(enumerate(scores), key=lambda scored: -scored[1])[:k]

    def text(self, number: int) -> str:
        """Return the text of a candidate."""
        return self._texts[number]

    def metadata(self, number: int) -> Mapping[str, Any] | None:
        """Return the metadata of a candidate, if any."""
        return self._metadata[number] if self._metadata is not None else None


def pool_of_texts(
    selector: Selector, texts: Sequence[str], metadata: Sequence[Mapping[str, Any] | None] | None = None
) -> VectorPool | JointPool:
    """Make a pool of texts: encoded now if the selector is a dual encoder, otherwise read with each context."""
    if isinstance(selector, DualEncoderSelector):
        return VectorPool(selector, CandidateSet(selector, texts, metadata=metadata))
    return JointPool(selector, texts, metadata)


def make_pool(selector: Selector, candidates: EncodedCandidates | VectorPool | JointPool | Sequence[str]) -> Pool:
    """Make a pool of candidates for a selector.

    Raises:
        TypeError: for encoded candidates with a selector that does not encode candidates.
        ValueError: when there are no candidates.
    """
    if isinstance(candidates, VectorPool | JointPool):
        return candidates
    if isinstance(candidates, Sequence):
        return pool_of_texts(selector, candidates)
    if not isinstance(selector, DualEncoderSelector):
        raise TypeError(
            f"a {selector.kind} reads context and candidate together and cannot search encoded candidates; give the "
            "candidates as texts, or let another selector choose and this one rank: Hybrid(scorer=SelectorScorer(...))"
        )
    if not len(candidates):
        raise ValueError("there are no candidates to choose from; give at least one")
    return VectorPool(selector, candidates)

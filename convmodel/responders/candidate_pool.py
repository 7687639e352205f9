"""Candidate pools of a chooser: encoded in advance and searched by vectors, or scored together with each context."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from convmodel.models.selection.fused_contexts import FusedContexts, Parts, SearchContexts
from convmodel.models.selection.fused_selector import FusedSelector, SearchingSelector, require_searching
from convmodel.models.selection.index.index import CandidateIndex, CandidateSet
from convmodel.models.selection.inputs import checked_candidates
from convmodel.models.selection.search.exact import TopK
from convmodel.models.selection.selector import Selector

ScoredNumbers = list[tuple[int, float]]
"""Pairs of a candidate's number and its score, best first. Equal scores are sorted by number."""


class EncodedCandidates(Protocol):
    """Candidates that were encoded once: an index on disk, or a list in memory.

    The candidates of a fused selector also have the method `parts` of `CandidateIndex`.
    """

    def __len__(self) -> int: ...

    def search(self, contexts: Any, k: int) -> TopK:
        """Return the k best candidates for each of B contexts. The ids of the result are the candidates' numbers."""

    def text(self, number: int) -> str: ...

    def metadata(self, number: int) -> Mapping[str, Any] | None: ...


class VectorPool:
    """Candidates that were encoded in advance. A search encodes the context and compares the vectors."""

    def __init__(self, selector: SearchingSelector, candidates: EncodedCandidates) -> None:
        self._selector = selector
        self._candidates = candidates
        self._encoded: tuple[tuple[tuple[str, ...], tuple[str, ...]], SearchContexts] | None = None
        self.text = candidates.text
        self.metadata = candidates.metadata

    def __len__(self) -> int:
        return len(self._candidates)

    def best(self, context: Sequence[str], persona: Sequence[str], k: int) -> ScoredNumbers:
        """Return the k best candidates for a context."""
        top = self._candidates.search(self._encode(context, persona), k)
        return list(zip(top.ids[0].tolist(), top.scores[0].tolist(), strict=True))

    def parts(self, context: Sequence[str], persona: Sequence[str], numbers: Sequence[int]) -> Parts:
        """Return the summands of each candidate's score by feature; empty mappings if the selector is not fused."""
        encoded = self._encode(context, persona)
        if isinstance(encoded, FusedContexts) and isinstance(self._candidates, CandidateIndex | CandidateSet):
            return self._candidates.parts(encoded, numbers)
        return [{} for _ in numbers]

    def _encode(self, context: Sequence[str], persona: Sequence[str]) -> SearchContexts:
        """Encode a context. The result of the last call is reused if context and persona are the same."""
        key = (tuple(context), tuple(persona))
        last = self._encoded
        if last is None or last[0] != key:
            last = self._encoded = (key, self._selector.encode_contexts([context], personas=[persona]))
        return last[1]


class JointPool:
    """Candidates that a selector, such as a cross-encoder, reads together with each context."""

    def __init__(
        self, selector: Selector, texts: Sequence[str], metadata: Sequence[Mapping[str, Any] | None] | None
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

    def parts(self, context: Sequence[str], persona: Sequence[str], numbers: Sequence[int]) -> Parts:
        """See `VectorPool.parts`."""
        if not isinstance(self._selector, FusedSelector):
            return [{} for _ in numbers]
        return self._selector.explain(context, [self._texts[number] for number in numbers], persona=persona)

    def text(self, number: int) -> str:
        return self._texts[number]

    def metadata(self, number: int) -> Mapping[str, Any] | None:
        return self._metadata[number] if self._metadata is not None else None


Pool = VectorPool | JointPool
"""Candidates with the selector that scores them."""


def make_pool(
    selector: Selector,
    candidates: EncodedCandidates | Pool | Sequence[str],
    metadata: Sequence[Mapping[str, Any] | None] | None = None,
) -> Pool:
    """Make a pool of candidates. Texts are encoded now if the selector encodes candidates in advance.

    Args:
        selector: the selector that scores the candidates.
        candidates: encoded candidates, texts, or a pool, which is returned unchanged.
        metadata: metadata of each text, or None.

    Raises:
        TypeError: for encoded candidates with a selector that does not encode candidates, or a text of another type.
        ValueError: for an empty text, or when there are no candidates.
    """
    if isinstance(candidates, Pool):
        return candidates
    if selector.searches:
        searching = require_searching(selector, remedy="give texts")
        if isinstance(candidates, Sequence):
            return VectorPool(searching, CandidateSet(selector, candidates, metadata=metadata))
        if not len(candidates):
            raise ValueError("there are no candidates to choose from; give at least one")
        return VectorPool(searching, candidates)
    if isinstance(candidates, Sequence):
        return JointPool(selector, candidates, metadata)
    raise TypeError(
        f"a {selector.kind} reads context and candidate together and cannot search encoded candidates; give the "
        "candidates as texts, or let another selector choose and this one rank: Hybrid(scorer=SelectorScorer(...))"
    )

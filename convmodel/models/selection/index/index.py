"""An index's folder and its model in, the best candidates for contexts out; the same of texts in memory."""

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from convmodel.models.selection.index import hnsw as approximate
from convmodel.models.selection.index import storage as files
from convmodel.models.selection.inputs import checked_candidates
from convmodel.models.selection.search.exact import TopK, search_poly
from convmodel.models.selection.search.vectors import CandidateMatrix
from convmodel.models.selection.selector import DualEncoderSelector, EncodedContexts, Selector


class CandidateIndex:
    """Candidates that were encoded once, memory-mapped. It is made by `build_index`, and opened by `open`.

    Any number of threads may search it. It stays as it was when it was opened, whatever is added or removed meanwhile.

    Args:
        folder: where it is.
        state: what is so there.
    """

    def __init__(self, folder: Path, state: files.IndexManifest) -> None:
        self.folder, self.state = folder, state
        gone = torch.zeros(state.count, dtype=torch.bool)
        gone[torch.from_numpy(files.removed_numbers(state, folder))] = True
        shape, dtype = (state.count, state.width), np.dtype(state.dtype)
        vectors = torch.from_numpy(files.mapped(folder / files.VECTORS, dtype, shape))
        self.candidates = CandidateMatrix(vectors, gone=gone)
        self._gone = gone
        self._texts = files.ByteStrings(folder, "texts", state.count)
        self._metadata = files.ByteStrings(folder, "metadata", state.count)
        self._graph = approximate.opened(folder, state) if state.graph else None

    @classmethod
    def open(cls, folder: str | os.PathLike[str], selector: Selector) -> Self:
        """Opens an index.

        Args:
            folder: what `build_index` wrote.
            selector: the model that it was made with.

        Raises:
            FileNotFoundError, ValueError: when there is none, or it was made with another model.
        """
        where = Path(folder)
        for last in (False, True):
            state = files.read_state(where)
            check_model(where, state, selector)
            if state.model_dtype != selector.dtype and not last:
                warnings.warn(
                    f"{where}: its vectors were computed in {state.model_dtype}, and the model is loaded in "
                    f"{selector.dtype}; scores are near those of one type, not equal",
                    stacklevel=2,
                )
            try:
                return cls(where, state)
            except FileNotFoundError:  # what the state named was replaced in between
                if last or files.read_state(where) == state:
                    raise
        raise AssertionError

    def __len__(self) -> int:
        return self.candidates.left

    def search(self, contexts: EncodedContexts, k: int, *, exact: bool | None = None) -> TopK:
        """The best candidates.

        Args:
            contexts: B of them, from the model's `encode_contexts`.
            k: how many; all when there are fewer.
            exact: whether to look at all candidates; None is what the index was made for, see `state.graph`.

        Returns:
            Numbers of candidates, which stay the same whatever is added or removed, and their exact scores.

        Raises:
            ValueError: for an empty index, k below 1, or exact=False without what that needs.
        """
        vectors, found = contexts.vectors.cpu(), contexts.mask.cpu()
        if exact is False and self._graph is None:
            raise ValueError(f"{self.folder}: was made without approximate search; make it anew with --approximate")
        if exact or self._graph is None:
            return search_poly(vectors, found, self.candidates, k)
        return approximate.search(self._graph, vectors, found, self.candidates, k)

    def text(self, number: int) -> str:
        """A candidate's text.

        Raises:
            IndexError: for a number that is none, or of one that was removed.
        """
        return self._texts[self._checked(number)].decode()

    def metadata(self, number: int) -> dict[str, Any] | None:
        """What is known of a candidate.

        Raises:
            IndexError: see `text`.
        """
        found = self._metadata[self._checked(number)]
        return json.loads(found) if found else None

    def numbers(self) -> list[int]:
        """Those of all candidates that are there, in order."""
        found: list[int] = (~self._gone).nonzero()[:, 0].tolist()
        return found

    def _checked(self, number: int) -> int:
        if not 0 <= number < self.state.count or self._gone[number]:
            raise IndexError(f"{self.folder}: there is no candidate {number}; its numbers are below {self.state.count}")
        return number


class CandidateSet:
    """Candidates in memory, searched like an index. A text that stands twice is found once, by its first place.

    Args:
        selector: encodes them.
        texts: at least one; a candidate's number is its place among them.
        metadata: of each, if anything is known.

    Raises:
        TypeError, ValueError: for texts that are none, or a model that does not encode candidates alone.
    """

    def __init__(
        self,
        selector: Selector,
        texts: Sequence[str],
        *,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> None:
        self._all = checked_candidates(texts)
        if metadata is not None and len(metadata) != len(self._all):
            raise ValueError(f"metadata of {len(metadata)} for {len(self._all)} texts; give one each, or none")
        self._known = metadata
        first = {text.strip(): number for number, text in reversed(list(enumerate(self._all)))}
        self._numbers = torch.tensor(sorted(first.values()))
        kept = [self._all[number] for number in self._numbers.tolist()]
        self.candidates = CandidateMatrix(selector.encode_candidates(kept))

    def __len__(self) -> int:
        return len(self._numbers)

    def search(self, contexts: EncodedContexts, k: int) -> TopK:
        """See `CandidateIndex.search`; always exact."""
        best = search_poly(contexts.vectors, contexts.mask, self.candidates, k)
        return TopK(self._numbers.to(best.ids.device)[best.ids], best.scores)

    def text(self, number: int) -> str:
        """See `CandidateIndex.text`."""
        return self._all[self._checked(number)]

    def metadata(self, number: int) -> dict[str, Any] | None:
        """See `CandidateIndex.metadata`."""
        known = self._known[self._checked(number)] if self._known else None
        return None if known is None else dict(known)

    def _checked(self, number: int) -> int:
        if not 0 <= number < len(self._all):
            raise IndexError(f"there is no candidate {number}; there are {len(self._all)}")
        return number


def check_model(folder: Path, state: files.IndexManifest, selector: Selector) -> str:
    """The fingerprint of the model that an index was made with.

    Raises:
        ValueError: when it is another one.
    """
    mine = selector.fingerprint()
    if mine != state.fingerprint:
        raise ValueError(
            f"{folder}: was made with another model (a {state.kind}, fingerprint {state.fingerprint}) than this one (a "
            f"{selector.kind}, fingerprint {mine}); open it with that one, or make it anew"
        )
    return mine


def encoding(selector: Selector) -> DualEncoderSelector[Any, Any]:
    """A model that encodes candidates.

    Raises:
        ValueError: when it does not.
    """
    if not isinstance(selector, DualEncoderSelector):
        raise ValueError(
            f"a {selector.kind} reads context and candidate together, so there is nothing of a candidate to keep; "
            "make the index with a bi-encoder, a poly-encoder or ConveRT"
        )
    return selector

"""Search for the best candidates of contexts, in an index on disk or in texts held in memory."""

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from convmodel.data.candidates import questions_of
from convmodel.models.selection.dual_encoder import DualEncoderSelector
from convmodel.models.selection.fused_contexts import FusedContexts, Parts, SearchContexts, search_table
from convmodel.models.selection.fused_selector import FusedSelector, question_table
from convmodel.models.selection.fusion import QUESTION_FEATURES
from convmodel.models.selection.index import hnsw, storage
from convmodel.models.selection.inputs import checked_candidates
from convmodel.models.selection.lexical import ROW, WordTable
from convmodel.models.selection.search.exact import TopK, search_exact
from convmodel.models.selection.search.table import CandidateTable
from convmodel.models.selection.search.vectors import CandidateMatrix
from convmodel.models.selection.selector import Selector


class CandidateIndex:
    """A memory-mapped index of encoded candidates, built by `build_index` and opened by `open`.

    Any number of threads may search it. An open index does not see candidates that are added or removed later.
    """

    def __init__(self, folder: Path, state: storage.IndexManifest) -> None:
        self.folder = folder
        self.state = state
        removed = torch.zeros(state.count, dtype=torch.bool)
        removed[torch.from_numpy(storage.removed_numbers(state, folder))] = True
        shape = (state.count, state.width)
        vectors = torch.from_numpy(storage.memory_map(folder / storage.VECTORS, np.dtype(state.dtype), shape))
        self.candidates = CandidateMatrix(vectors, removed=removed)
        self.table = CandidateTable(self.candidates, self._read_words)
        self._removed = removed
        self._texts = storage.ByteStrings(folder, "texts", state.count)
        self._metadata = storage.ByteStrings(folder, "metadata", state.count)
        storage.memory_map(folder / storage.DIGESTS, storage.DIGEST, (state.count,))  # checks its size
        self._graph = hnsw.open_graph(folder, state) if state.graph else None
        self._is_finite = False

    @classmethod
    def open(cls, folder: str | os.PathLike[str], selector: Selector) -> Self:
        """Open an index that `build_index` wrote with the same model.

        Raises:
            FileNotFoundError, ValueError: when there is no index, or it was built with another model.
        """
        where = Path(folder)
        for last in (False, True):
            state = storage.read_state(where)
            check_model(where, state, selector)
            if state.model_dtype != selector.dtype and not last:
                warnings.warn(
                    f"{where}: its vectors were computed in {state.model_dtype}, and the model is loaded in "
                    f"{selector.dtype}; scores are near those of one type, not equal",
                    stacklevel=2,
                )
            try:
                index = cls(where, state)
                index._add_questions(selector)
                return index
            except FileNotFoundError:  # a file that the manifest named was replaced after the manifest was read
                if last or storage.read_state(where) == state:
                    raise
        raise AssertionError

    def _add_questions(self, selector: Selector) -> None:
        """Encode the questions in the candidates' metadata, if the selector has weights for them."""
        if isinstance(selector, FusedSelector) and any(map(selector.fusion.factor, QUESTION_FEATURES)):
            removed = self._removed.tolist()
            numbers = range(self.state.count)
            questions = [[] if removed[number] else questions_of(self.metadata(number)) for number in numbers]
            self.table.questions = question_table(selector.indexer, questions)

    def __len__(self) -> int:
        return self.candidates.left

    def search(self, contexts: SearchContexts, k: int, *, exact: bool | None = None) -> TopK:
        """Return the k best candidates of each context, or all of them when there are fewer, with exact scores.

        The resulting ids are candidate numbers, which do not change when candidates are added or removed.

        Args:
            contexts: B contexts, encoded by the model's `encode_contexts`.
            k: number of candidates per context.
            exact: True compares all candidates, False searches the graph. None searches the graph if the index has one
                (`state.graph`) and the selector is not fused.

        Raises:
            ValueError: for an empty index, k below 1, exact=False for an index without a graph or a fused selector, or
                damaged vectors or words.
        """
        if isinstance(contexts, FusedContexts):
            if exact is False:
                raise ValueError("exact=False: a fused score is searched exactly; load the selector with fusion=False")
            self._check_vectors()
            return contexts.cpu().search(self.table, k)
        contexts = contexts.cpu()
        if exact is False and self._graph is None:
            raise ValueError(f"{self.folder}: was made without approximate search; rebuild it with --approximate")
        if exact or self._graph is None:
            self._check_vectors()
            return search_exact(contexts, self.candidates, k)
        best = hnsw.search(self._graph, contexts, self.candidates, k)
        self._check_finite(best.scores)
        return best

    def shard(self, rows: range) -> CandidateTable:
        """Return the table of successive candidates, for an exact search among them; its ids begin at 0."""
        self._check_vectors()
        part = slice(rows.start, rows.stop)
        removed = self._removed[part]
        vectors = CandidateMatrix(self.candidates.vectors[part], removed=removed)
        questions = self.table.questions.within(rows) if self.table.questions else None
        return CandidateTable(vectors, lambda: self.table.words().take(rows), questions)

    def parts(self, contexts: FusedContexts, numbers: Sequence[int]) -> Parts:
        """Return each feature's contributions to candidates' scores for the first context.

        Args:
            contexts: encoded contexts of a fused selector.
            numbers: the numbers of the candidates.
        """
        return contexts.cpu().parts_of(0, self.table.take([self._checked(number) for number in numbers]))

    def _read_words(self) -> WordTable:
        """Return the words of all candidates from the index, or from the texts if an older index has no words."""
        if not self.state.words:
            return WordTable.of(self._texts[number].decode(errors="replace") for number in range(self.state.count))
        data, ends = storage.ByteStrings(self.folder, "words", self.state.count).all()
        try:
            return WordTable(data.view(ROW), ends // ROW.itemsize)
        except ValueError as error:
            raise ValueError(f"{self.folder / 'words.bytes'}: is damaged ({error}); {storage.REBUILD}") from None

    def _check_vectors(self) -> None:
        if not self._is_finite and self.state.width:  # norms are cached, and exact search uses them
            self._check_finite(self.candidates.norms())
        self._is_finite = True

    def _check_finite(self, values: Tensor) -> None:
        if not values.isfinite().all():
            raise ValueError(f"{self.folder / storage.VECTORS}: holds NaN or infinity; {storage.REBUILD}")

    def text(self, number: int) -> str:
        """Return a candidate's text.

        Raises:
            IndexError: for a number out of range, or of a removed candidate.
            ValueError: for a damaged file.
        """
        try:
            return self._texts[self._checked(number)].decode()
        except UnicodeDecodeError as error:
            raise self._damaged("texts", number) from error

    def metadata(self, number: int) -> dict[str, Any] | None:
        """Return a candidate's metadata, or None if it has none; see `text` for the errors."""
        data = self._metadata[self._checked(number)]
        try:
            value = json.loads(data) if data else None
        except ValueError as error:
            raise self._damaged("metadata", number) from error
        if value is not None and not isinstance(value, dict):
            raise self._damaged("metadata", number)
        return value

    def _damaged(self, name: str, number: int) -> ValueError:
        return ValueError(f"{self.folder / name}.bytes: is damaged at candidate {number}; {storage.REBUILD}")

    def numbers(self) -> list[int]:
        """Return the numbers of all candidates that are not removed, in ascending order."""
        numbers: list[int] = (~self._removed).nonzero()[:, 0].tolist()
        return numbers

    def _checked(self, number: int) -> int:
        if not 0 <= number < self.state.count or self._removed[number]:
            raise IndexError(f"{self.folder}: there is no candidate {number}; its numbers are below {self.state.count}")
        return number


class CandidateSet:
    """Candidates in memory, searched like an index. Of equal texts only the first can be found.

    A candidate's number is its position among the texts.

    Raises:
        TypeError, ValueError: for a text that is empty or not a string, or a model that does not encode candidates
            separately.
    """

    def __init__(
        self, selector: Selector, texts: Sequence[str], *, metadata: Sequence[Mapping[str, Any] | None] | None = None
    ) -> None:
        self._all = checked_candidates(texts)
        if metadata is not None and len(metadata) != len(self._all):
            raise ValueError(f"metadata of {len(metadata)} for {len(self._all)} texts; give one each, or none")
        self._known = metadata
        first = {text.strip(): position for position, text in reversed(list(enumerate(self._all)))}
        self._numbers = torch.tensor(sorted(first.values()))
        kept = [self._all[number] for number in self._numbers.tolist()]
        self.candidates = CandidateMatrix(selector.encode_candidates(kept))
        questions = [questions_of(metadata[number]) for number in self._numbers.tolist()] if metadata else []
        asked = question_table(selector.indexer, questions) if isinstance(selector, FusedSelector) else None
        self.table = CandidateTable(self.candidates, lambda: WordTable.of(kept), asked)

    def __len__(self) -> int:
        return len(self._numbers)

    def search(self, contexts: SearchContexts, k: int) -> TopK:
        """See `CandidateIndex.search`; the search is always exact."""
        best = search_table(contexts, self.table, k)
        return TopK(self._numbers.to(best.ids.device)[best.ids], best.scores)

    def parts(self, contexts: FusedContexts, numbers: Sequence[int]) -> Parts:
        """See `CandidateIndex.parts`."""
        rows = torch.searchsorted(self._numbers, torch.tensor([self._checked(number) for number in numbers]))
        return contexts.parts_of(0, self.table.take(rows.tolist()))

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


def check_model(folder: Path, state: storage.IndexManifest, selector: Selector) -> None:
    """Raise a ValueError when the index was built with another selector."""
    encoder = selector.indexer
    fingerprint = encoder.fingerprint()
    if fingerprint != state.fingerprint:
        raise ValueError(
            f"{folder}: was made with another model (a {state.kind}, fingerprint {state.fingerprint}) than this one (a "
            f"{encoder.kind}, fingerprint {fingerprint}); open it with the model that made it, or rebuild it"
        )


def require_encoder(selector: Selector) -> DualEncoderSelector[Any, Any] | None:
    """Return the selector that encodes the candidates of an index; None for a lexical selector.

    Raises:
        ValueError: when the selector reads context and candidate together.
    """
    encoder = selector.indexer
    if isinstance(encoder, DualEncoderSelector):
        return encoder
    if encoder.searches:
        return None
    raise ValueError(
        f"a {encoder.kind} reads context and candidate together, so candidates cannot be encoded in advance; "
        "make the index with a bi-encoder, a poly-encoder or ConveRT"
    )

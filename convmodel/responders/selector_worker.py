"""`SelectorWorker`: embeds and ranks texts for the requests of several threads, one batch at a time."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import torch

from convmodel.metrics.words import words
from convmodel.models.devices import release_openmp_threads
from convmodel.models.selection.dual_encoder import DualEncoderSelector
from convmodel.models.selection.encoder_selector import EncoderSelector
from convmodel.models.selection.fused_selector import FusedSelector
from convmodel.models.selection.selector import Selector
from convmodel.responders.protocol import Load
from convmodel.responders.text_selector import TextScores, TextValues, TextVectors, ValueT

BATCH = 64
"""Number of texts of a batch. Batches of other requests may run between two batches of a request."""

ONE_VECTOR = ("bi-encoder", "convert")
"""Kinds of selectors that encode each text as one vector."""

Output = TypeVar("Output")
Row = Any


class Computation(Generic[Output]):
    """A `ReplyHandle` that yields no pieces. Its result is computed in the thread that calls `result`.

    Args:
        compute: returns the result. Its argument is a function that returns whether the request was cancelled; the
            computation should then stop early.
    """

    def __init__(self, compute: Callable[[Callable[[], bool]], Output]) -> None:
        self._compute = compute
        self._cancelled = threading.Event()

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def cancel(self) -> None:
        self._cancelled.set()

    def result(self) -> Output:
        return self._compute(self._cancelled.is_set)


class SelectorWorker:
    """Thread-safe `TextSelector` that embeds and ranks texts with a selector.

    A document is read as a candidate, and a query as a context of one turn. The dot product of their vectors is the
    selector's score; for a bi-encoder with a `cosine_scale`, it is the score divided by this scale.

    Example:
        >>> worker = SelectorWorker(Selector.from_pretrained("selector"))
        >>> worker.rank("Do you have any pets?", ["Two cats.", "At nine."]).result().values
    """

    def __init__(self, selector: Selector) -> None:
        self._selector = selector
        self._encoder = selector.indexer
        self._computing = threading.Lock()
        self._counting = threading.Lock()
        self._open = 0
        self.kind = selector.kind
        has_vectors = self._encoder.kind in ONE_VECTOR
        self.dimensions = int(selector.encode_candidates(["a"]).shape[1]) if has_vectors else None

    @property
    def load(self) -> Load:
        """Number of running requests, at most one, and of waiting requests."""
        running = min(self._open, 1)
        return Load(running, self._open - running)

    def embed(self, texts: Sequence[str], *, queries: bool = False) -> Computation[TextVectors]:
        """Return a handle of the texts' vectors; see `TextSelector.embed`."""
        selector = self._encoder
        if self.dimensions is None or not isinstance(selector, DualEncoderSelector):
            raise ValueError(f"a {self.kind} has no single vector for a text; use a bi-encoder or ConveRT")
        make_row = (lambda ids: selector.context_row([ids])) if queries else selector.candidate_row
        scale = (getattr(selector, "cosine_scale", None) or 1.0) if queries else 1.0

        def encode(batch: Sequence[str]) -> TextVectors:
            ids = selector.tokenizer.encode_many(batch)
            rows = [make_row(of_text) for of_text in ids]
            selector.network.eval()
            if queries:
                vectors = selector.encode_context_rows(rows).vectors[:, 0] / scale
            else:
                vectors = selector.encode_candidate_rows(rows)
            return TextValues(vectors.float().cpu().tolist(), *_count_tokens(ids, make_row))

        return Computation(lambda cancelled: _sum(self._batches(texts, encode, cancelled)))

    def rank(self, query: str, documents: Sequence[str]) -> Computation[TextScores]:
        """Return a handle of the documents' scores; see `TextSelector.rank`."""
        make_row = _document_row(self._encoder)
        encode = _token_encoder(self._encoder)

        def score(batch: Sequence[str]) -> TextScores:
            scores = self._selector.score([[query]], list(batch))[0].tolist()
            return TextValues(scores, *_count_tokens(encode(batch), make_row))

        def compute(cancelled: Callable[[], bool]) -> TextScores:
            read = len(encode([query])[0])
            return _sum([TextValues((), read, 0), *self._batches(documents, score, cancelled)])

        return Computation(compute)

    def _batches(
        self, texts: Sequence[str], compute: Callable[[Sequence[str]], Output], cancelled: Callable[[], bool]
    ) -> list[Output]:
        """Return the output of `compute` for each batch of texts; stop early if the request is cancelled.

        Only one batch of all requests runs at a time.
        """
        outputs = []
        self._count(1)
        try:
            for first in range(0, len(texts), BATCH):
                with self._computing, torch.inference_mode():
                    if cancelled():
                        break
                    outputs.append(compute(texts[first : first + BATCH]))
        finally:
            release_openmp_threads()  # idle threads would slow down the thread of a writer
            self._count(-1)
        return outputs

    def _count(self, change: int) -> None:
        with self._counting:
            self._open += change


def _token_encoder(selector: Selector) -> Callable[[Sequence[str]], Sequence[Sequence[Any]]]:
    """Return the function that splits texts into tokens. The tokens of a fused selector are words."""
    if isinstance(selector, FusedSelector):
        return lambda texts: list(map(words, texts))
    return selector.tokenizer.encode_many


def _document_row(selector: Selector) -> Callable[[Sequence[Any]], Row]:
    """Return the function that makes a candidate's input row from its tokens, cut to the selector's maximum length.

    For a selector without a maximum length, the function returns all tokens.
    """
    if isinstance(selector, DualEncoderSelector):
        return selector.candidate_row
    return selector.layout.candidate if isinstance(selector, EncoderSelector) else list


def _count_tokens(ids: Sequence[Sequence[Any]], make_row: Callable[[Sequence[int]], Row]) -> tuple[int, int]:
    """Return the number of tokens of texts that are read, without separators, and the number that are cut off."""
    kept = sum(len(make_row(of_text)) - (len(make_row(of_text[:1])) - len(of_text[:1])) for of_text in ids)
    return kept, sum(map(len, ids)) - kept


def _sum(parts: Sequence[TextValues[ValueT]]) -> TextValues[ValueT]:
    """Return the results of all batches as one result."""
    values = [value for part in parts for value in part.values]
    return TextValues(values, sum(part.tokens for part in parts), sum(part.tokens_dropped for part in parts))

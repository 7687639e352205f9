"""What an engine's thread writes in, pieces and the finished texts out: one request while it is being followed."""

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from convmodel.generation.request import RequestState
from convmodel.models.text_generation import GeneratedText, GenerationJob

Pieces = queue.SimpleQueue[str | None]
"""Texts, and None when there are no more."""


class GenerationHandle(ABC):
    """A request that is being followed.

    Args:
        prepared: what is asked of the engine.
        pieces: where the text comes, if it is a single one.
        over: called once, from the engine's thread, when it is over.
    """

    def __init__(self, prepared: GenerationJob, pieces: Pieces, over: Callable[[], None]) -> None:
        self.prepared, self._pieces, self._over = prepared, pieces, over
        self.tickets: list[RequestState] = []
        self.cancelled = False
        self.first: float | None = None
        """When the first token came."""
        self._began = time.perf_counter()
        self._ended = 0.0
        self._is_over = threading.Event()
        self._written: list[GeneratedText] = []
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[str]:
        given = ""
        while (piece := self._pieces.get()) is not None:
            given += piece
            yield piece
        self._pieces.put(None)  # whoever iterates once more is not kept waiting
        rest = self._text()[len(given) :]
        if rest:
            yield rest

    @abstractmethod
    def _text(self) -> str:
        """Waits for the end; the text that the pieces come to. Raises what went wrong."""

    def cancel(self) -> None:
        """Ends it now; from any thread, at any moment, and more than once."""
        self.cancelled = True
        for ticket in self.tickets:
            ticket.cancel()

    def written(self) -> list[GeneratedText]:
        """Waits for the end. Raises what went wrong."""
        self._is_over.wait()
        if self._error is not None:
            raise self._error
        return self._written

    @property
    def seconds(self) -> float:
        """From the beginning to the end."""
        return self._ended - self._began

    @property
    def first_seconds(self) -> float:
        """From the beginning to the first token."""
        return (self.first or self._ended) - self._began

    @property
    def cached_tokens(self) -> int:
        """How many tokens of the context were not read anew; the first of several texts reads it for all."""
        return min((ticket.cached for ticket in self.tickets), default=0)

    # From the engine's thread

    def succeed(self, written: list[GeneratedText]) -> None:
        """It is over, and this is what was written."""
        self._written = written
        self._end()

    def fail(self, error: Exception) -> None:
        """It is over, and this went wrong."""
        self._error = error
        self._end()

    def _end(self) -> None:
        self._ended = time.perf_counter()
        self._over()
        self._is_over.set()
        self._pieces.put(None)

"""Handles of running requests: of an engine, of a worker thread, and of a hybrid responder."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import replace
from typing import Any, Generic, TypeVar

from convmodel.generation.request import RequestState
from convmodel.models.language_model import LanguageModel
from convmodel.models.text_generation import GeneratedText, GenerationJob
from convmodel.responders.protocol import Candidate, Reply, ReplyHandle

Pieces = queue.SimpleQueue[str | None]
"""Queue of the pieces of a text, with None after the last one."""

CANCELLED_REPLY = Reply((Candidate(""),), finish="cancelled")
"""Result of a request that was cancelled before it had a reply."""

ResultT = TypeVar("ResultT")


class GenerationHandle(Generic[ResultT]):
    """A `ReplyHandle` of a request to an `EngineWorker`.

    Args:
        job: prepared inputs and decoding options of the request.
        pieces: queue of the text's pieces; stays empty until the end if the request has several texts.
        model: the model that generates the texts.
        adapter: index of the model's adapter in the engine; None for the base model.
        on_end: called once when the request ends, in the engine's thread.
        to_result: converts the generated texts to the result; called once, in the first thread that waits for it.
        text_of: returns the text of a result, which iteration over the handle yields.
    """

    def __init__(
        self,
        job: GenerationJob,
        pieces: Pieces,
        *,
        model: LanguageModel[Any],
        adapter: int | None,
        on_end: Callable[[], None],
        to_result: "ToResult[ResultT]",
        text_of: Callable[[ResultT], str],
    ) -> None:
        self.job = job
        self.model = model
        self.adapter = adapter
        self.states: list[RequestState] = []  # empty until the engine has the requests of the job
        self.cancelled = False
        self.first_token_at: float | None = None  # by `time.perf_counter`
        self._pieces = pieces
        self._on_end = on_end
        self._to_result = to_result
        self._text_of = text_of
        self._started_at = time.perf_counter()
        self._ended_at = 0.0
        self._ended = threading.Event()
        self._outcome: list[GeneratedText] | Exception = []
        self._converting = threading.Lock()
        self._result: list[ResultT] = []

    def __iter__(self) -> Iterator[str]:
        """Yield pieces of the text as soon as they are final; of several texts, yield the best in one piece."""
        length = 0
        while (piece := self._pieces.get()) is not None:
            length += len(piece)
            yield piece
        self._pieces.put(None)  # so that a second iteration also ends
        rest = self._text_of(self.result())[length:]
        if rest:
            yield rest

    def cancel(self) -> None:
        self.cancelled = True
        for state in self.states:
            state.cancel()

    def result(self) -> ResultT:
        self._ended.wait()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        with self._converting:
            if not self._result:
                self._result.append(self._to_result(self, self._outcome))
        return self._result[0]

    @property
    def seconds(self) -> float:
        return self._ended_at - self._started_at

    @property
    def first_seconds(self) -> float:
        """Time from the start to the first token."""
        return (self.first_token_at or self._ended_at) - self._started_at

    @property
    def cached_tokens(self) -> int:
        """Number of context tokens taken from the KV cache.

        Of several texts, this is the number of the first, which reads the context for the others.
        """
        return min((state.cached for state in self.states), default=0)

    def end(self, outcome: list[GeneratedText] | Exception) -> None:
        """End the request with its texts or an error; called in the engine's thread."""
        self._outcome = outcome
        self._ended_at = time.perf_counter()
        self._on_end()
        self._ended.set()
        self._pieces.put(None)


ToResult = Callable[[GenerationHandle[ResultT], list[GeneratedText]], ResultT]
"""Function that converts the generated texts of a request to its result."""


class ReplyFuture:
    """A `ReplyHandle` whose result another thread sets.

    The first call of `set` or `cancel` determines the result; later calls have no effect.
    """

    def __init__(self) -> None:
        self._future: Future[Reply] = Future()

    def __iter__(self) -> Iterator[str]:
        """Wait for the reply, and yield its text in one piece."""
        text = self.result().text
        if text:
            yield text

    def cancel(self) -> None:
        self.set(CANCELLED_REPLY)

    def result(self) -> Reply:
        return self._future.result()

    @property
    def done(self) -> bool:
        return self._future.done()

    def set(self, outcome: Reply | Exception) -> None:
        """Set the reply or an error; later calls have no effect."""
        with contextlib.suppress(InvalidStateError):
            if isinstance(outcome, Exception):
                self._future.set_exception(outcome)
            else:
                self._future.set_result(outcome)


class HybridReplyHandle(ReplyFuture):
    """A `ReplyHandle` that waits for the replies of writer and chooser of a `Hybrid`, and for their ranking.

    Args:
        parts: handles of the parts: the chooser's, then the writer's, or only one of them.
        rank: starts the computation of one reply from the replies of the parts, in another thread. The thread sets the
            reply in the given future.
    """

    def __init__(
        self, parts: Sequence[ReplyHandle[Reply]], rank: Callable[[Sequence[Reply], ReplyFuture], None]
    ) -> None:
        super().__init__()
        self._parts = parts
        self._rank = rank
        self._started_at = time.perf_counter()
        self._ranked = ReplyFuture()
        self._waiting = threading.Lock()
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True
        for part in self._parts:
            part.cancel()
        self._ranked.cancel()

    def result(self) -> Reply:
        """Wait for the parts and the ranking, and return the reply. Raises the first error of any of them."""
        with self._waiting:
            if not self.done:
                self.set(self._combine())
        return super().result()

    def _combine(self) -> Reply | Exception:
        try:
            replies = [part.result() for part in self._parts]
            if not self._cancelled:
                self._rank(replies, self._ranked)
            reply = self._ranked.result()
        except Exception as error:
            self.cancel()
            return error
        if reply is CANCELLED_REPLY:
            reply = replace(replies[-1], finish="cancelled")
        seconds = time.perf_counter() - self._started_at
        return replace(reply, seconds=seconds, first_seconds=seconds)

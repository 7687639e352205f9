"""Thread that runs an engine, or transformers' `generate` for requests that the engine does not support."""

import atexit
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import astuple, replace
from functools import partial
from typing import Any

from transformers import PreTrainedModel

from convmodel.errors import QueueFull
from convmodel.generation.adapters import AdapterWeights
from convmodel.generation.engine import Engine
from convmodel.generation.engine_support import supports_engine
from convmodel.generation.request import RequestState
from convmodel.models.devices import release_openmp_threads
from convmodel.models.text_generation import GeneratedText, collect_texts, runs_in_engine, write
from convmodel.responders.handles import GenerationHandle
from convmodel.responders.protocol import ClosesOnExit, Load

CLOSED = "the writer is closed; make a new one"


class EngineThread(ClosesOnExit):
    """Thread that generates texts for the requests of other threads, with one model and its adapters.

    Some requests run in transformers' `generate`: those with options that the engine does not support, such as beam
    search, and all requests of a model that the engine does not support. They run one at a time, and all other requests
    wait meanwhile.

    Args:
        model: the model; its weights must not change afterwards.
        adapters: see `Engine`.
        noun: noun for a generated text in error messages.
        max_running, max_kept, max_waiting: see `EngineWorker`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        adapters: Sequence[AdapterWeights] = (),
        noun: str,
        max_running: int,
        max_kept: int | None,
        max_waiting: int | None,
    ) -> None:
        self._model = model
        self._noun = noun
        self._sizes: dict[str, Any] = {"max_running": max_running, "max_kept": max_kept, "adapters": adapters}
        self._max_open = None if max_waiting is None else max_running + max_waiting
        self._open = 0
        self._engine = self._new_engine()
        self._finished_load = Load()  # token counts of previous engines and of `generate`
        self._num_running = 0
        self._changed = threading.Condition()
        self._arrived: deque[GenerationHandle[Any]] = deque()
        self._running: dict[RequestState, GenerationHandle[Any]] = {}
        self._closed = False
        release_openmp_threads()  # of the calling thread, which may have loaded the model
        self._thread = threading.Thread(target=self._run, name="convmodel writer", daemon=True)
        self._thread.start()
        # A thread that still computes when the interpreter shuts down would abort the process.
        self._at_exit = partial(_close, weakref.ref(self))
        atexit.register(self._at_exit)

    @property
    def load(self) -> Load:
        """Current load and token counts; may be read from any thread, and after `close`."""
        with self._changed:
            running = min(self._num_running, self._open)
            tokens = _add_loads(self._finished_load, _load_of(self._engine))
            return _add_loads(Load(running, self._open - running), tokens)

    @property
    def has_engine(self) -> bool:
        """Whether the engine supports the model."""
        return self._engine is not None

    def submit(self, handle: GenerationHandle[Any]) -> None:
        """Queue a request. Raises QueueFull if too many requests are open, and RuntimeError after `close`."""
        with self._changed:
            if self._closed:
                raise RuntimeError(CLOSED)
            if self._max_open is not None and self._open >= self._max_open:
                raise QueueFull(f"{self._open} requests are open, the maximum; try again later")
            self._open += 1
            self._arrived.append(handle)
            self._changed.notify_all()

    def release(self) -> None:
        """Decrease the number of open requests by one."""
        with self._changed:
            self._open -= 1

    def close(self) -> None:
        """Cancel running requests and end the thread; repeated calls have no effect."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        atexit.unregister(self._at_exit)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # Called in the engine's thread

    def _closed_early(self) -> RuntimeError:
        return RuntimeError(f"the writer was closed before the {self._noun} was written")

    def _new_engine(self) -> Engine | None:
        self._model.train(False)
        if not supports_engine(self._model):
            return None
        return Engine(self._model, packed=True, max_waiting=None, **self._sizes)

    def _run(self) -> None:
        error: Exception = self._closed_early()
        try:
            self._generate_until_closed()
        except Exception as fatal:  # such as a failure to create a new engine; all requests must end
            error = fatal
        with self._changed:
            self._closed = True
        for handle in {*self._running.values(), *self._arrived}:
            handle.end(error)

    def _generate_until_closed(self) -> None:
        while True:
            with self._changed:
                while not (self._arrived or self._is_busy or self._closed):
                    self._changed.wait()
                if self._closed:
                    return
                arrived = list(self._arrived)
                self._arrived.clear()
            for handle in arrived:
                self._begin(handle)
            if self._engine is not None and self._engine.busy:
                self._step(self._engine)

    @property
    def _is_busy(self) -> bool:
        return self._engine is not None and self._engine.busy

    def _begin(self, handle: GenerationHandle[Any]) -> None:
        try:
            uses_engine = runs_in_engine(self._model, handle.job.decoding)
            if uses_engine and self._engine is not None:
                requests = [replace(request, adapter=handle.adapter) for request in handle.job.requests]
                handle.states = [self._engine.submit(request) for request in requests]
                self._running |= dict.fromkeys(handle.states, handle)
                if handle.cancelled:
                    handle.cancel()
            elif handle.cancelled:
                handle.end([GeneratedText("", (), "cancelled")])
            else:
                texts = self._generate_outside_engine(handle)
                if self._closed:
                    raise self._closed_early()
                if handle.cancelled:  # transformers' `generate` reports "end" when its CancelCriteria stop it
                    texts = [replace(text, finish="cancelled") if text.finish == "end" else text for text in texts]
                handle.end(texts)
        except Exception as error:  # fails this request; the others continue
            handle.end(error)

    def _generate_outside_engine(self, handle: GenerationHandle[Any]) -> list[GeneratedText]:
        """Run transformers' `generate` for a request. All other requests wait meanwhile."""
        model = handle.model
        self._num_running += 1
        try:
            [texts] = write(
                model.hf_model, model.tokenizer, [handle.job], is_cancelled=lambda: handle.cancelled or self._closed
            )
        finally:
            self._num_running -= 1
        written = sum(len(text.ids) for text in texts)
        self._count_tokens(Load(tokens_read=len(handle.job.row.input_ids), tokens_written=written))
        return texts

    def _step(self, engine: Engine) -> None:
        try:
            changed = engine.step()
        except Exception as error:
            self._fail_all(error)
            return
        for state in changed:
            handle = self._running[state]
            handle.first_token_at = handle.first_token_at or time.perf_counter()
            if state.finish is not None:
                del self._running[state]
                if not any(sibling in self._running for sibling in handle.states):
                    self._finish(handle)
        self._num_running = len({self._running[state] for state in engine.running})

    def _finish(self, handle: GenerationHandle[Any]) -> None:
        try:
            handle.end(collect_texts(handle.job, handle.states))
        except Exception as error:  # such as a tokenizer that cannot decode the tokens
            handle.end(error)

    def _fail_all(self, error: Exception) -> None:
        """Fail all running requests after an error of the engine, and replace the engine."""
        failed = set(self._running.values())
        self._num_running = 0
        self._running.clear()
        for handle in failed:
            handle.end(error)
        new = self._new_engine()
        old = self._engine
        with self._changed:
            self._engine = new
            self._count_tokens(_load_of(old))

    def _count_tokens(self, load: Load) -> None:
        """Add token counts that are not counts of the current engine."""
        with self._changed:
            self._finished_load = _add_loads(self._finished_load, load)


def _load_of(engine: Engine | None) -> Load:
    """Return the token counts of an engine; zeros for None."""
    if engine is None:
        return Load()
    return Load(
        tokens_read=engine.context_tokens_read,
        tokens_written=engine.reply_tokens_written,
        tokens_cached=engine.context_tokens_cached,
    )


def _add_loads(first: Load, second: Load) -> Load:
    return Load(*(a + b for a, b in zip(astuple(first), astuple(second), strict=True)))


def _close(reference: "weakref.ref[EngineThread]") -> None:
    worker = reference()
    if worker is not None:
        worker.close()

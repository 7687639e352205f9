"""One generation engine in its own thread, which serves the requests of many threads."""

import atexit
import os
import queue
import secrets
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import astuple, replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import torch

from convmodel.errors import QueueFull
from convmodel.generation.engine import Engine
from convmodel.generation.engine_support import supports_engine
from convmodel.generation.option_checks import check_names
from convmodel.generation.options import DecodingConfig, effective_options, without_engine_options
from convmodel.generation.request import SEEDS, RequestState
from convmodel.generation.sampler import WARPS
from convmodel.models.devices import release_openmp_threads
from convmodel.models.language_model import LanguageModel
from convmodel.models.text_generation import GeneratedText, GenerationJob, collect_texts, runs_in_engine, write
from convmodel.responders.handles import GenerationHandle, Pieces, ResultT, ToResult
from convmodel.responders.protocol import MAX_RUNNING, MAX_WAITING, ClosesOnExit, Load

CLOSED = "the writer is closed; make a new one"

AnyModel = TypeVar("AnyModel", bound=LanguageModel[Any])


class EngineWorker(ClosesOnExit, Generic[AnyModel]):
    """Generates texts for many requests at once, with one model.

    Requests with options that the engine does not support (beam search), and all requests to an architecture that it
    does not support, run in transformers' `generate`, one at a time, and block the other requests meanwhile.

    Args:
        model: a language model; its weights must not change any more.
        options: default options, on top of the model's `generation_config`.
        max_running: maximum number of texts generated at once.
        max_kept: maximum number of cached rows of keys and values, running ones included; see `Engine`.
        max_waiting: maximum number of open requests beside the running ones; None for no limit, where a server admits
            the requests.
    """

    model_class: ClassVar[type[LanguageModel[Any]]]
    noun: ClassVar[str]
    """Name of a generated text in errors."""

    presets: Mapping[str, Mapping[str, Any]]
    """Named sets of options, without those that the model's architecture cannot have."""

    def __init__(
        self,
        model: AnyModel,
        *,
        options: Mapping[str, Any] | None = None,
        max_running: int = MAX_RUNNING,
        max_kept: int | None = None,
        max_waiting: int | None = MAX_WAITING,
    ) -> None:
        if max_waiting is not None and max_waiting < 1:
            raise ValueError(f"max_waiting={max_waiting}; at least 1 must wait, if only for the next step")
        self.model = model
        self._defaults = dict(options or {})
        self.options: Mapping[str, Any] = MappingProxyType(effective_options(self._decoding(self._defaults)))
        """Default options of a request, as they were when the worker was created."""
        self.context_length = model.n_positions
        """Number of tokens that the model reads at once, its reply included."""
        self._sizes = {"max_running": max_running, "max_kept": max_kept}
        self._max_open = None if max_waiting is None else max_running + max_waiting
        self._open = 0
        self._engine = self._new_engine()
        if self._engine is None:
            self.presets = {name: without_engine_options(preset) for name, preset in self.presets.items()}
        self._finished_load = Load()  # tokens outside the current engine
        self._num_running = 0
        self._changed = threading.Condition()
        self._arrived: deque[GenerationHandle[Any]] = deque()
        self._running: dict[RequestState, GenerationHandle[Any]] = {}
        self._closed = False
        release_openmp_threads()  # those of the thread that loaded the model
        self._thread = threading.Thread(target=self._run, name="convmodel writer", daemon=True)
        self._thread.start()
        # A thread that still computes when the interpreter shuts down would abort the process.
        self._at_exit = partial(_close, weakref.ref(self))
        atexit.register(self._at_exit)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
        base: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Self:
        """Load a model as its own `from_pretrained` does; `options` are the arguments of the class."""
        model = cls.model_class.from_pretrained(name_or_path, device=device, dtype=dtype, base=base)
        return cls(cast(AnyModel, model), **options)

    @property
    def load(self) -> Load:
        """Current load and token counts; may be read from any thread, and after `close`."""
        with self._changed:
            running = min(self._num_running, self._open)
            tokens = _add_loads(self._finished_load, _load_of(self._engine))
            return _add_loads(Load(running, self._open - running), tokens)

    def clamp_new_tokens(self, wanted: int) -> int:
        """See `BoundedGenerator.clamp_new_tokens`."""
        return self.model.clamp_new_tokens(wanted)

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError for an invalid option; the message has the option, its value and the allowed values."""
        check_names(options)
        if any(value is not None for value in options.values()):  # a server asks for names, for each request
            self._decoding(options)

    def _decoding(self, options: Mapping[str, Any]) -> DecodingConfig:
        check_names(options)
        given = {name: value for name, value in options.items() if value is not None}
        is_greedy = given.get("do_sample") is False  # the defaults of sampling do not apply
        defaults = {name: value for name, value in self._defaults.items() if not (is_greedy and name in WARPS)}
        decoding = self.model.decoding(**defaults | given)
        _ = decoding.uses_engine  # raises ValueError for options that contradict each other
        return decoding

    def _draw(self, decoding: DecodingConfig, seed: int | None) -> tuple[Pieces, dict[str, Any]]:
        """Return a queue for the pieces of a request's text, and the request's `seed` and `sink`.

        A missing seed is not drawn from torch's global generator, which beam sampling may be using in the thread.
        """
        pieces: Pieces = queue.SimpleQueue()
        sink = pieces.put if decoding.num_replies == 1 else None
        return pieces, {"seed": secrets.randbelow(SEEDS) if seed is None else seed, "sink": sink}

    def _submit(
        self, job: GenerationJob, pieces: Pieces, *, to_result: ToResult[ResultT], text_of: Callable[[ResultT], str]
    ) -> GenerationHandle[ResultT]:
        """Queue a request for the thread; raise QueueFull when too many wait, and RuntimeError after `close`."""
        handle = GenerationHandle(job, pieces, on_end=self._release, to_result=to_result, text_of=text_of)
        with self._changed:
            if self._closed:
                raise RuntimeError(CLOSED)
            if self._max_open is not None and self._open >= self._max_open:
                raise QueueFull(f"{self._open} requests are open, the maximum; try again later")
            self._open += 1
            self._arrived.append(handle)
            self._changed.notify_all()
        return handle

    def close(self) -> None:
        """Cancel running requests and end the thread; repeated calls have no effect."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        atexit.unregister(self._at_exit)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _release(self) -> None:
        """Count a request as ended."""
        with self._changed:
            self._open -= 1

    # Called in the thread

    def _closed_early(self) -> RuntimeError:
        return RuntimeError(f"the writer was closed before the {self.noun} was written")

    def _new_engine(self) -> Engine | None:
        self.model.hf_model.train(False)
        if not supports_engine(self.model.hf_model):
            return None
        return Engine(self.model.hf_model, packed=True, max_waiting=None, **self._sizes)  # type: ignore[arg-type]

    def _run(self) -> None:
        error: Exception = self._closed_early()
        try:
            self._generate_until_closed()
        except Exception as fatal:  # such as a failure to create a new engine: no request is left waiting
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
            uses_engine = runs_in_engine(self.model.hf_model, handle.job.decoding)
            if uses_engine and self._engine is not None:
                handle.states = [self._engine.submit(request) for request in handle.job.requests]
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
        """Run transformers' `generate` for options that the engine does not support; all other requests wait."""
        model = self.model
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
        """Add tokens that the current engine does not count."""
        with self._changed:
            self._finished_load = _add_loads(self._finished_load, load)


def _load_of(engine: Engine | None) -> Load:
    """Return the token counts of an engine, if there is one."""
    if engine is None:
        return Load()
    return Load(
        tokens_read=engine.context_tokens_read,
        tokens_written=engine.reply_tokens_written,
        tokens_cached=engine.context_tokens_cached,
    )


def _add_loads(first: Load, second: Load) -> Load:
    return Load(*(a + b for a, b in zip(astuple(first), astuple(second), strict=True)))


def _close(reference: "weakref.ref[EngineWorker[Any]]") -> None:
    worker = reference()
    if worker is not None:
        worker.close()

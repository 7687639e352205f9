"""Requests of many people in, written texts out, piece by piece: one engine in one thread of its own."""

import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import astuple, replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import torch

from convmodel.errors import QueueFull
from convmodel.generation.engine import Engine
from convmodel.generation.options import DecodingConfig, check_names, options_of
from convmodel.generation.request import RequestState
from convmodel.models.devices import release_openmp_threads
from convmodel.models.language_model import LanguageModel
from convmodel.models.text_generation import GeneratedText, collect_texts, write
from convmodel.responders.handles import GenerationHandle
from convmodel.responders.protocol import MAX_RUNNING, MAX_WAITING, Load

CLOSED = "the writer is closed; make a new one"

AnyModel = TypeVar("AnyModel", bound=LanguageModel[Any])
AnyInProgress = TypeVar("AnyInProgress", bound=GenerationHandle)


class EngineThread(Generic[AnyModel]):
    """Follows many requests at once, on one model.

    Options that the engine does not do (beams) are done by transformers' `generate`, and hold the others up meanwhile.

    Args:
        model: its weights must not change any more.
        options: used where a request does not say otherwise, on top of the model's `generation_config`.
        max_running: texts that are written at once.
        max_kept: rows whose keys and values are kept, running ones included; see `Engine`.
        max_waiting: how many requests may be open beside those that are written.
    """

    model_class: ClassVar[type[LanguageModel[Any]]]
    noun: ClassVar[str]
    """What is written."""

    def __init__(
        self,
        model: AnyModel,
        *,
        options: Mapping[str, Any] | None = None,
        max_running: int = MAX_RUNNING,
        max_kept: int | None = None,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        if max_waiting < 1:
            raise ValueError(f"max_waiting={max_waiting}; at least 1 must wait, if only for the next step")
        self._model, self._defaults = model, dict(options or {})
        self._options = MappingProxyType(options_of(self._decoding(self._defaults)))
        self._sizes = {"max_running": max_running, "max_kept": max_kept}
        self._most_open, self._open = max_running + max_waiting, 0
        self._engine, self._done, self._followed = self._new_engine(), Load(), 0
        self._changed = threading.Condition()
        self._arrived: deque[GenerationHandle] = deque()
        self._running: dict[RequestState, GenerationHandle] = {}
        self._closed = False
        release_openmp_threads()  # of whoever loaded the model
        self._thread = threading.Thread(target=self._work, name="convmodel writer", daemon=True)
        self._thread.start()
        # A thread that is still multiplying when the interpreter goes would end the process with an abort.
        self._at_exit = partial(_close, weakref.ref(self))
        atexit.register(self._at_exit)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
        **options: Any,
    ) -> Self:
        """Loads a model as its own `from_pretrained` does; `options` are those of the writer."""
        return cls(cast(AnyModel, cls.model_class.from_pretrained(name_or_path, device=device, dtype=dtype)), **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def model(self) -> AnyModel:
        """What writes."""
        return self._model

    @property
    def options(self) -> Mapping[str, Any]:
        """What is used where a request does not say otherwise; as it was in the beginning."""
        return self._options

    @property
    def load(self) -> Load:
        """How busy it is, and what it has done; from any thread, at any moment. A closed one still tells it."""
        with self._changed:
            running = min(self._followed, self._open)
            return _sum(Load(running, self._open - running), _sum(self._done, _done_by(self._engine)))

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raises ValueError, which names option, value, and what is allowed, for options that cannot be followed."""
        self._decoding(options)

    def _decoding(self, options: Mapping[str, Any]) -> DecodingConfig:
        check_names(options)
        given = self._defaults | {name: value for name, value in options.items() if value is not None}
        how = self._model.decoding(**given)
        _ = how.through_engine  # which raises for options that do not go together
        return how

    def _take(self, writing: AnyInProgress) -> AnyInProgress:
        """Puts a request before the thread.

        Raises:
            QueueFull: when too many requests wait.
            RuntimeError: after `close`.
        """
        with self._changed:
            if self._closed:
                raise RuntimeError(CLOSED)
            if self._open >= self._most_open:
                raise QueueFull(f"{self._open} requests are open, as many as are taken; try again later")
            self._open += 1
            self._arrived.append(writing)
            self._changed.notify_all()
        return writing

    def close(self) -> None:
        """Cancels what is running and ends the thread; twice is no error."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        atexit.unregister(self._at_exit)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _over(self) -> None:
        with self._changed:
            self._open -= 1

    # In the thread

    def _ended_early(self) -> RuntimeError:
        return RuntimeError(f"the writer was closed before the {self.noun} was written")

    def _new_engine(self) -> Engine:
        self._model.hf_model.eval()
        return Engine(self._model.hf_model, packed=True, max_waiting=2**31, **self._sizes)  # type: ignore[arg-type]

    def _work(self) -> None:
        error: Exception = self._ended_early()
        try:
            self._write_until_closed()
        except Exception as found:  # a new engine could not be made, for one: nobody is left waiting
            error = found
        with self._changed:
            self._closed = True
        for writing in {*self._running.values(), *self._arrived}:
            writing.fail(error)

    def _write_until_closed(self) -> None:
        while True:
            with self._changed:
                while not (self._arrived or self._engine.busy or self._closed):
                    self._changed.wait()
                if self._closed:
                    return
                arrived = list(self._arrived)
                self._arrived.clear()
            for writing in arrived:
                self._begin(writing)
            if self._engine.busy:
                self._step()

    def _begin(self, writing: GenerationHandle) -> None:
        prepared = writing.prepared
        try:
            if prepared.decoding.through_engine:
                writing.tickets = [self._engine.submit(request) for request in prepared.requests]
                self._running |= dict.fromkeys(writing.tickets, writing)
                if writing.cancelled:
                    writing.cancel()
            elif writing.cancelled:
                writing.succeed([GeneratedText("", (), "cancelled")])
            else:
                texts = self._write_at_once(writing)
                if self._closed:
                    raise self._ended_early()
                writing.succeed([_given_up(each) for each in texts] if writing.cancelled else texts)
        except Exception as error:  # whoever asked is told; the others go on
            writing.fail(error)

    def _write_at_once(self, writing: GenerationHandle) -> list[GeneratedText]:
        """What the engine does not do, while everybody else waits."""
        hf_model, tokenizer, asked = self._model.hf_model, self._model.tokenizer, writing.prepared
        self._followed += 1
        try:
            [texts] = write(hf_model, tokenizer, [asked], given_up=lambda: writing.cancelled or self._closed)
        finally:
            self._followed -= 1
        self._add(Load(tokens_read=len(asked.row.input_ids), tokens_written=sum(len(text.ids) for text in texts)))
        return texts

    def _step(self) -> None:
        try:
            changed = self._engine.step()
        except Exception as error:
            self._fail_all(error)
            return
        for ticket in changed:
            writing = self._running[ticket]
            writing.first = writing.first or time.perf_counter()
            if ticket.finish is not None:
                del self._running[ticket]
                if not any(each in self._running for each in writing.tickets):
                    try:
                        writing.succeed(collect_texts(writing.prepared, writing.tickets))
                    except Exception as error:  # a tokenizer that cannot say it
                        writing.fail(error)
        self._followed = len({self._running[ticket] for ticket in self._engine.running})

    def _fail_all(self, error: Exception) -> None:
        """A step went wrong: whoever was written to is told, and a new engine goes on."""
        failed, self._followed = set(self._running.values()), 0
        self._running.clear()
        for writing in failed:
            writing.fail(error)
        fresh, old = self._new_engine(), self._engine
        with self._changed:
            self._engine = fresh
            self._add(_done_by(old))

    def _add(self, load: Load) -> None:
        """Tokens of whatever is not the engine that there is."""
        with self._changed:
            self._done = _sum(self._done, load)


def _done_by(engine: Engine) -> Load:
    """The tokens of an engine."""
    return Load(
        tokens_read=engine.context_tokens_read,
        tokens_written=engine.reply_tokens_written,
        tokens_cached=engine.context_tokens_cached,
    )


def _sum(one: Load, other: Load) -> Load:
    return Load(*(a + b for a, b in zip(astuple(one), astuple(other), strict=True)))


def _close(writer: "weakref.ref[EngineThread[Any]]") -> None:
    there = writer()
    if there is not None:
        there.close()


def _given_up(text: GeneratedText) -> GeneratedText:
    """What transformers' `generate` had when it was told to end."""
    return replace(text, finish="cancelled") if text.finish == "end" else text

"""Contexts of many people in, written replies out, piece by piece: the Responder on a model that writes."""

import atexit
import os
import queue
import secrets
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from convmodel.errors import QueueFull
from convmodel.generation import Engine, Ticket
from convmodel.hardware import dismiss_idle_threads
from convmodel.in_progress import InProgress, Pieces
from convmodel.model import ConversationModel
from convmodel.options import PRESETS, Decoding, check_names, options_of
from convmodel.preparation import Prepared, Written, prepare, without_repeats, written
from convmodel.responder import Session
from convmodel.scorers import ScoredBy, name_of
from convmodel.seeds import SEEDS
from convmodel.writing import write

CLOSED = "the writer is closed; make a new one"
ENDED = "the writer was closed before the reply was written"


class Writer:
    """Writes replies to many conversations at once, on one model, in one thread of its own.

    Contexts that do not fit the window lose several of their oldest turns at once, so that what was read of a
    conversation stays valid for many turns. Options that the engine does not do (beams) are done by transformers'
    `generate`, and hold the others up meanwhile.

    Args:
        model: its weights must not change any more.
        options: used where a request does not say otherwise, on top of the model's `generation_config`.
        scorer: what decides between several replies to one request.
        keep: the share of the window that stays when turns must go; at 1 as many turns stay as fit.
        max_running: replies that are written at once.
        max_kept: conversations whose keys and values are kept, running ones included; see `Engine`.
        max_waiting: how many requests may be open beside those that are written.

    Example:
        >>> with Writer.from_pretrained("model") as writer:
        ...     for piece in writer.start(["Hello!"]):
        ...         print(piece, end="", flush=True)
    """

    def __init__(
        self,
        model: ConversationModel,
        *,
        options: Mapping[str, Any] | None = None,
        scorer: ScoredBy = "likelihood",
        keep: float = 0.5,
        max_running: int = 32,
        max_kept: int | None = None,
        max_waiting: int = 256,
    ) -> None:
        if not 0 < keep <= 1:
            raise ValueError(f"keep={keep}; allowed are numbers above 0 and at most 1")
        if max_waiting < 1:
            raise ValueError(f"max_waiting={max_waiting}; at least 1 must wait, if only for the next step")
        self._model, self._defaults, self._scorer, self._keep = model, dict(options or {}), scorer, keep
        self.check_options(self._defaults)
        self._sizes = {"max_running": max_running, "max_kept": max_kept}
        self._most_open, self._open = max_running + max_waiting, 0
        self._engine = self._new_engine()
        self._changed = threading.Condition()
        self._arrived: deque[InProgress] = deque()
        self._running: dict[Ticket, InProgress] = {}
        self._closed = False
        dismiss_idle_threads()  # of whoever loaded the model
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
    ) -> "Writer":
        """Loads a model as `ConversationModel.from_pretrained`; `options` are those of `Writer`."""
        return cls(ConversationModel.from_pretrained(name_or_path, device=device, dtype=dtype), **options)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def model(self) -> ConversationModel:
        """What writes."""
        return self._model

    @property
    def options(self) -> Mapping[str, Any]:
        """What is used where a request does not say otherwise."""
        return options_of(self._decoding({}))

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """Sets of options by name."""
        return PRESETS

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raises ValueError, which names option, value, and what is allowed, for options that cannot be followed."""
        self._decoding(options)

    def _decoding(self, options: Mapping[str, Any]) -> Decoding:
        check_names(options)
        given = self._defaults | {name: value for name, value in options.items() if value is not None}
        how = self._model.decoding(**given)
        _ = how.through_engine  # which raises for options that do not go together
        return how

    def start(
        self,
        context: Sequence[str],
        *,
        persona: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        session: Session | None = None,
    ) -> InProgress:
        """Begins to reply and returns at once; see `Responder.start`.

        A seed that is not given is not drawn from torch's global generator: beams may be sampled from it just then.

        Raises:
            TypeError, ValueError: for turns or options that cannot be followed.
            QueueFull: when too many requests wait.
            RuntimeError: when the writer was closed.
        """
        how = self._decoding(options or {})
        pieces: Pieces = queue.SimpleQueue()
        prepared = prepare(
            self._model.tokenizer,
            context,
            persona,
            how,
            seed=secrets.randbelow(SEEDS) if seed is None else seed,
            session=session,
            keep=self._keep,
            scored=how.replies > 1 and self._scorer == "likelihood",
            sink=pieces.put if how.replies == 1 else None,
        )
        writing = InProgress(self._model, prepared, pieces, session, self._rank, name_of(self._scorer), self._over)
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

    def _rank(self, prepared: Prepared, replies: Sequence[Written]) -> list[tuple[Written, float | None]]:
        scores = self._model.scores(prepared, replies, self._scorer) if len(replies) > 1 else None
        return without_repeats(replies, scores)

    # In the thread

    def _new_engine(self) -> Engine:
        self._model.hf_model.eval()
        return Engine(self._model.hf_model, packed=True, max_waiting=2**31, **self._sizes)  # type: ignore[arg-type]

    def _work(self) -> None:
        error: Exception = RuntimeError(ENDED)
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

    def _begin(self, writing: InProgress) -> None:
        prepared = writing.prepared
        try:
            if prepared.decoding.through_engine:
                writing.tickets = [self._engine.submit(request) for request in prepared.requests]
                self._running |= dict.fromkeys(writing.tickets, writing)
                if writing.cancelled:
                    writing.cancel()
            elif writing.cancelled:
                writing.succeed([Written("", (), "cancelled")])
            else:
                [replies] = self._write_at_once(writing)
                if self._closed:
                    raise RuntimeError(ENDED)
                writing.succeed([_given_up(each) for each in replies] if writing.cancelled else replies)
        except Exception as error:  # whoever asked is told; the others go on
            writing.fail(error)

    def _write_at_once(self, writing: InProgress) -> list[list[Written]]:
        """What the engine does not do, while everybody else waits."""
        hf_model, tokenizer = self._model.hf_model, self._model.tokenizer
        return write(hf_model, tokenizer, [writing.prepared], given_up=lambda: writing.cancelled or self._closed)

    def _step(self) -> None:
        try:
            changed = self._engine.step()
        except Exception as error:
            failed = set(self._running.values())
            self._running.clear()
            for writing in failed:
                writing.fail(error)
            self._engine = self._new_engine()
            return
        for ticket in changed:
            writing = self._running[ticket]
            writing.first = writing.first or time.perf_counter()
            if ticket.finish is not None:
                del self._running[ticket]
                if not any(each in self._running for each in writing.tickets):
                    try:
                        writing.succeed(written(writing.prepared, writing.tickets))
                    except Exception as error:  # a tokenizer that cannot say it
                        writing.fail(error)


def _close(writer: "weakref.ref[Writer]") -> None:
    there = writer()
    if there is not None:
        there.close()


def _given_up(reply: Written) -> Written:
    """What transformers' `generate` had when it was told to end."""
    return replace(reply, finish="cancelled") if reply.finish == "end" else reply

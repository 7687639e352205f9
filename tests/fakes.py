"""Fake responders without a model, for tests of front ends: deterministic by seed, optionally slow or failing."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from convmodel.responders.protocol import Candidate, Load, Names, QueueFull, Reply, Session
from convmodel.tokens.speakers import sides_of

if TYPE_CHECKING:
    from convmodel.models.document_inputs import DocumentModelOutput

WORDS = ["yes", "no", "maybe", "rain", "sun", "sea", "music", "tea", "cats", "dogs", "often", "never"]

Write = Callable[[Sequence[str], int, Mapping[str, Any]], str]
"""A function from context, seed and options to the text of a reply."""


def some_words(context: Sequence[str], seed: int, options: Mapping[str, Any]) -> str:
    """Return random words, deterministic by all arguments."""
    source = random.Random(repr((list(context), seed, sorted(options.items(), key=repr))))
    return " ".join(source.choice(WORDS) for _ in range(source.randint(1, 6)))


class FakeReplyHandle:
    """The handle of a FakeResponder's reply, which yields one word at a time."""

    def __init__(
        self, responder: "FakeResponder", texts: list[str], *, seed: int | None, context: Sequence[str]
    ) -> None:
        self._responder = responder
        self._texts = texts
        self._seed = seed
        self._context = context
        self._cancelled = threading.Event()
        self._written: list[str] = []
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        text = self._texts[0]
        pieces = [text] if len(self._texts) > 1 else [f"{' ' if n else ''}{w}" for n, w in enumerate(text.split(" "))]
        for index, piece in enumerate(pieces):
            if self._responder.pause(index, self._cancelled):
                return
            if self._responder.error is not None and index == self._responder.error_after:
                raise self._responder.error
            self._written.append(piece)
            yield piece

    def cancel(self) -> None:
        """End the reply."""
        self._cancelled.set()

    def result(self) -> Reply:
        """Wait for the end of the reply, and return it."""
        with self._lock:
            if not self.ended and not self._written:
                for _ in self:
                    pass
            self.ended = True
        stopped = self._cancelled.is_set()
        texts = ["".join(self._written)] if stopped else self._texts
        scored = len(texts) > 1
        return Reply(
            tuple(Candidate(text, -float(n) if scored else None) for n, text in enumerate(texts, 1)),
            finish="cancelled" if stopped else "end",
            context_tokens=sum(len(turn.split()) + 1 for turn in self._context),
            reply_tokens=len(texts[0].split()),
            window=64,
            turns_dropped=0,
            seconds=0.5,
            first_seconds=0.02,
            seed=self._seed,
        )


class FakeResponder:
    """A responder whose replies are the results of `write`.

    Args:
        write: the function that returns the text of a reply.
        seconds: the delay before each piece.
        hold: the index of the first piece that waits until `go_on` is set.
        error: an exception to raise before the piece with the index `error_after`.
        error_after: the index of the piece at which `error` is raised.
        capacity: the maximum number of replies at a time; further requests raise QueueFull.
    """

    def __init__(
        self,
        write: Write = some_words,
        *,
        seconds: float = 0.0,
        hold: int | None = None,
        error: Exception | None = None,
        error_after: int = 0,
        capacity: int | None = None,
    ) -> None:
        self._write = write
        self._seconds = seconds
        self._hold = hold
        self._capacity = capacity
        self.error = error
        self.error_after = error_after
        self.go_on = threading.Event()
        self.held = threading.Event()
        self.closed = False
        self.requests: list[dict[str, Any]] = []
        self.running: list[FakeReplyHandle] = []

    options: Mapping[str, Any] = {"do_sample": True, "num_return_sequences": 1, "temperature": 1.0, "top_k": 50}
    load = Load()
    presets: Mapping[str, Mapping[str, Any]] = {"bold": {"temperature": 1.5}, "sober": {"do_sample": False}}

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Check the names of options, and that the temperature is above 0."""
        for name, value in options.items():
            if name not in self.options:
                raise ValueError(f"{name}: there is no such option; there are {', '.join(self.options)}")
            if name == "temperature" and value is not None and not (isinstance(value, int | float) and value > 0):
                raise ValueError(f"temperature={value!r}: give a number above 0")

    def start(
        self,
        context: Sequence[str],
        *,
        persona: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        session: Session | None = None,
        **names: Unpack[Names],
    ) -> FakeReplyHandle:
        """Start a reply."""
        used = {**self.options, **(options or {})}
        self.check_options(used)
        context = sides_of(context, **names) if names else context
        if any("too long" in turn for turn in context):
            raise ValueError("the last turn does not fit into the window of 64 tokens; shorten it")
        self.running = [replying for replying in self.running if not replying.ended]
        if self._capacity is not None and len(self.running) >= self._capacity:
            raise QueueFull(f"{self._capacity} replies are being made; try again later")
        self.requests.append(
            {"context": tuple(context), "persona": tuple(persona), "options": options, "seed": seed, "session": session}
        )
        drawn = 0 if seed is None or not used["do_sample"] else seed
        texts = [self._write(context, drawn + 1000 * n, used) for n in range(used["num_return_sequences"])]
        replying = FakeReplyHandle(
            self, list(dict.fromkeys(texts)), seed=drawn if used["do_sample"] else None, context=context
        )
        self.running.append(replying)
        return replying

    def pause(self, index: int, cancelled: threading.Event) -> bool:
        """Wait before a piece; return whether the reply was cancelled."""
        if self._seconds:
            cancelled.wait(self._seconds)
        if self._hold is not None and index >= self._hold:
            self.held.set()
            while not self.go_on.wait(0.005) and not cancelled.is_set():
                pass
        return cancelled.is_set()

    def close(self) -> None:
        """Record that the responder was closed."""
        self.closed = True

    def __enter__(self) -> "FakeResponder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FakeDocuments:
    """A document writer without a model."""

    options: Mapping[str, Any] = {"temperature": 1.0, "num_return_sequences": 1}
    load = Load()
    presets: Mapping[str, Mapping[str, Any]] = {"lively": {"temperature": 1.5}}

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Check the names of options."""
        for name in options:
            if name not in self.options:
                raise ValueError(f"{name}: there is no such option; there are {', '.join(self.options)}")

    def start(
        self, prompt: str = "", *, meta: Any = None, options: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> "FakeDocument":
        """Start a document."""
        self.requests.append({"prompt": prompt, "meta": meta, "options": options, "seed": seed})
        return FakeDocument(prompt, meta, count=(options or {}).get("num_return_sequences") or 1, seed=seed)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class FakeDocument:
    """The handle of a FakeDocuments' document, whose text contains markup."""

    def __init__(self, prompt: str, meta: Any, *, count: int, seed: int | None) -> None:
        from convmodel.models.document_inputs import DocumentModelOutput

        self._output = DocumentModelOutput(
            [f" there was <i>cat</i> number {n}." for n in range(1, count + 1)],
            prompt,
            meta,
            finishes=["length" if n == 1 else "end" for n in range(count)],
            tokens=[7] * count,
            scores=[-float(n) if count > 1 else None for n in range(count)],
            tokens_read=3,
            tokens_dropped=1,
            seed=seed,
        )

    def __iter__(self) -> Iterator[str]:
        yield from (f"{word} " for word in self._output.texts[0].split(" "))

    def cancel(self) -> None:
        """Do nothing: the document is complete from the start."""

    def result(self) -> "DocumentModelOutput":
        """Return the complete document."""
        return self._output


class FakeSearcher(FakeResponder):
    """A fake that can search, too."""

    searches = True

    def search(self, context: Sequence[str], persona: Sequence[str] = (), k: int = 10) -> Sequence[Candidate]:
        if any("too long" in turn for turn in context):
            raise ValueError("the context does not fit")
        texts = ["rain", "sun", "sea"]
        return tuple(Candidate(text, -n, "chosen", n, {"of": context[-1]}) for n, text in enumerate(texts))[:k]

"""Context in, replies out: what every way of replying promises to those who talk to people."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from convmodel.errors import QueueFull
from convmodel.generation.request import Finish
from convmodel.tokens.session import Session

__all__ = [
    "Candidate",
    "CandidateSearch",
    "Finish",
    "Generator",
    "Load",
    "QueueFull",
    "Reply",
    "ReplyHandle",
    "ReportsLoad",
    "Responder",
    "Session",
    "Source",
]

MAX_RUNNING, MAX_WAITING = 32, 256
"""Texts that are written at once, and requests that are taken beside them, where nobody says."""

Source = Literal["written", "chosen", "both"]
"""Whether a model wrote a reply, or chose it among candidates that were given, or did both."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that could be the reply.

    Args:
        text: without separators.
        score: what decided, higher is better; None where nothing was compared.
        source: where it came from.
        number: of the candidate that was chosen, in its index or list; None where none was.
        metadata: what is known of that candidate.
        scores: what each stage before the one that decided had found: "written" is the writer's score, "chosen" that
            of the search.
        finish: why it is over.
        tokens: that were written for it; 0 where none were.
    """

    text: str
    score: float | None = None
    source: Source = "written"
    number: int | None = None
    metadata: Mapping[str, Any] | None = field(default=None, hash=False)
    scores: Mapping[str, float] = field(default_factory=dict, hash=False)
    finish: Finish = "end"
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished reply.

    Args:
        candidates: at least one, no text twice. The first is the reply; they stand best first, but for one that was
            drawn.
        finish: why the first one is over.
        context_tokens: tokens of persona and context as they were read; 0 where nothing has a window.
        reply_tokens: tokens that were written of the first candidate; what it took of the window is the sum of both.
        window: tokens that context and reply share; 0 where nothing has a window.
        turns_dropped: oldest turns that were left out to fit it.
        tokens_dropped: of those turns, and from the beginning of the newest one where it alone is too long.
        seconds: from the start to the end.
        first_seconds: from the start to the first token.
        seed: with it the same request gives the same reply; None where nothing was drawn.
        ranked_by: what gave the candidates their scores; empty where nothing was compared.
        cached_tokens: how many of `context_tokens` were not read anew, because they were still known.
    """

    candidates: tuple[Candidate, ...]
    finish: Finish = "end"
    context_tokens: int = 0
    reply_tokens: int = 0
    window: int = 0
    turns_dropped: int = 0
    tokens_dropped: int = 0
    seconds: float = 0.0
    first_seconds: float = 0.0
    seed: int | None = None
    ranked_by: str = ""
    cached_tokens: int = 0

    @property
    def text(self) -> str:
        """The first candidate's text."""
        return self.candidates[0].text


class ReplyHandle(Protocol):
    """A reply that is being made."""

    def __iter__(self) -> Iterator[str]:
        """Pieces of the reply as soon as they are certain: joined, they are its text.

        Where several candidates are compared there is only one piece, when the best is known.
        """

    def cancel(self) -> None:
        """Ends it now; from any thread, at any moment, and more than once. What was written so far is the reply."""

    def reply(self) -> Reply:
        """Waits for the end. Raises what went wrong."""


class Generator(Protocol):
    """Follows requests with options; several threads may use it at once."""

    @property
    def options(self) -> Mapping[str, Any]:
        """What is used where a request does not say otherwise."""

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """Sets of options by name; may be empty."""

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raises ValueError, which names option, value, and what is allowed, for options that cannot be followed."""

    def close(self) -> None:
        """Cancels what is running and frees what is held; twice is no error."""


class Responder(Generator, Protocol):
    """Replies to contexts."""

    def start(
        self,
        context: Sequence[str],
        *,
        persona: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        session: Session | None = None,
    ) -> ReplyHandle:
        """Begins to reply and returns at once.

        Args:
            context: the turns so far, oldest first, at least one.
            persona: sentences about the one who replies.
            options: on top of `self.options`. For what is written, names are those of transformers' `generate`.
            seed: the same request with the same seed gives the same reply.
            session: of the conversation, when there is one: it remembers the reply.

        Raises:
            TypeError, ValueError: for turns or options that cannot be followed.
            QueueFull: when too many requests wait.
        """


# What some of them can do beside replying


@dataclass(frozen=True, slots=True)
class Load:
    """How busy something is that follows requests, and what it has done since it began.

    Args:
        running: requests that are being followed.
        waiting: requests that wait for a place.
        tokens_read: of contexts, as often as they were read.
        tokens_written: of replies.
        tokens_cached: of contexts that were not read, because they were still known.
    """

    running: int = 0
    waiting: int = 0
    tokens_read: int = 0
    tokens_written: int = 0
    tokens_cached: int = 0


@runtime_checkable
class ReportsLoad(Protocol):
    """What can say how busy it is."""

    @property
    def load(self) -> Load:
        """As it is now; from any thread, at any moment."""


@runtime_checkable
class CandidateSearch(Protocol):
    """What can tell candidates without making a reply of them."""

    @property
    def searches(self) -> bool:
        """Whether there is anything to search."""

    def search(self, context: Sequence[str], persona: Sequence[str] = (), k: int = 10) -> Sequence[Candidate]:
        """The candidates that reply best, best first, with their scores. Waits for them.

        Args:
            context: the turns so far, oldest first, at least one.
            persona: sentences about the one who replies.
            k: how many, as far as there are as many.

        Raises:
            TypeError, ValueError: for turns that are none, or where there is nothing to search.
            QueueFull: when too many requests wait.
        """

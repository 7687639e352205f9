"""What the writer's thread writes in, pieces and the finished reply out: one reply while it is being written."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from convmodel.generation import Ticket
from convmodel.model import ConversationModel
from convmodel.preparation import Prepared, Written, remember
from convmodel.responder import Candidate, Reply, Session

Pieces = queue.SimpleQueue[str | None]
"""Texts, and None when there are no more."""

Rank = Callable[[Prepared, Sequence[Written]], list[tuple[Written, float | None]]]
"""Replies with their scores, best first."""


@dataclass(eq=False)
class InProgress:
    """A `Replying` of the writer.

    Args:
        model: what writes.
        prepared: the context that is replied to.
        pieces: where the text of a single reply comes.
        session: that remembers it, if there is one.
        rank: decides between several replies; called by whoever waits for them.
        ranked_by: the name of what decides.
        over: called once, from the writer's thread, when it is over.
    """

    model: ConversationModel
    prepared: Prepared
    pieces: Pieces
    session: Session | None
    rank: Rank
    ranked_by: str
    over: Callable[[], None]
    tickets: list[Ticket] = field(default_factory=list)
    cancelled: bool = False
    first: float | None = None
    _began: float = field(default_factory=time.perf_counter)
    _ended: float = 0.0
    _is_over: threading.Event = field(default_factory=threading.Event)
    _replies: list[Written] = field(default_factory=list)
    _error: Exception | None = None
    _ranking: threading.Lock = field(default_factory=threading.Lock)
    _reply: Reply | None = None

    def __iter__(self) -> Iterator[str]:
        given = ""
        while (piece := self.pieces.get()) is not None:
            given += piece
            yield piece
        self.pieces.put(None)  # whoever iterates once more is not kept waiting
        rest = self.reply().text[len(given) :]
        if rest:
            yield rest

    def cancel(self) -> None:
        self.cancelled = True
        for ticket in self.tickets:
            ticket.cancel()

    def reply(self) -> Reply:
        self._is_over.wait()
        with self._ranking:
            if self._reply is None:
                if self._error is not None:
                    raise self._error
                self._reply = self._ranked()
        return self._reply

    def _ranked(self) -> Reply:
        prepared = self.prepared
        ranked = self.rank(prepared, self._replies)
        if self.session is not None:
            remember(self.session, prepared, self._replies, self.model.tokenizer)
        best = ranked[0][0]
        return Reply(
            tuple(Candidate(each.text, score, finish=each.finish, tokens=len(each.ids)) for each, score in ranked),
            finish=best.finish,
            context_tokens=len(prepared.encoding["input_ids"]),
            reply_tokens=len(best.ids),
            window=self.model.n_positions,
            turns_dropped=prepared.encoding.turns_dropped,
            seconds=self._ended - self._began,
            first_seconds=(self.first or self._ended) - self._began,
            seed=prepared.seed,
            ranked_by=self.ranked_by if ranked[0][1] is not None else "",
        )

    # From the writer's thread

    def succeed(self, replies: list[Written]) -> None:
        self._replies = replies
        self._end()

    def fail(self, error: Exception) -> None:
        self._error = error
        self._end()

    def _end(self) -> None:
        self._ended = time.perf_counter()
        self.over()
        self._is_over.set()
        self.pieces.put(None)

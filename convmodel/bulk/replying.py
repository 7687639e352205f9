"""A Job and a Responder in, a file of replies out, many asked for at a time, written in the order of the input."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from convmodel.bulk.job import Job
from convmodel.bulk.journal import open_journal
from convmodel.conversation import Conversation
from convmodel.formats.jsonl import dump
from convmodel.responder import Candidate, QueueFull, Reply, Replying, Responder

_PATIENCE = 0.05
"""Seconds until a full queue, in which nothing is ours, is tried again."""


@dataclass(frozen=True)
class Result:
    """What was done.

    Args:
        replies: how many lines the file has.
        before: how many of them were there when it began.
        failed: how many lines written now have no reply.
        seconds: how long it took.
        read: what a person is told of the input.
    """

    replies: int
    before: int
    failed: int
    seconds: float
    read: str

    def summary(self, name: str) -> str:
        """One sentence for a person about the file of that name."""
        new = self.replies - self.before
        lines = f"{self.replies:,} line{'' if self.replies == 1 else 's'}"
        if not new:
            return f"{name}: complete already, {lines}"
        went_on = f", {self.before:,} of them from before" if self.before else ""
        without = f"; {self.failed:,} without a reply" if self.failed else ""
        return f"{name}: {lines}{went_on}; {new / max(self.seconds, 1e-9):,.1f} replies/s{without}"


class Progress(Protocol):
    """Shows how far it is."""

    def update(self, n: float | None = 1) -> object:
        """So many more are written."""


ShowProgress = Callable[[int, int], AbstractContextManager[Progress]]
"""How many there are in all, and how many were there before."""


def reply_to_file(responder: Responder, job: Job, *, digest: str, show: ShowProgress) -> Result:
    """Writes a reply for each conversation of a file.

    The input is read once to its end before anything is asked, so that what cannot be read is told at once.

    Args:
        digest: of the model.

    Raises:
        ValueError, OSError: for an input that cannot be read, a conversation that cannot be replied to, or an output
            that is there and was made in another way.
    """
    responder.check_options(job.options)
    reader = job.reader()
    total = sum(1 for _ in reader)
    begun, failed = time.monotonic(), 0
    about = job.about(digest=digest, options={**responder.options, **job.options})
    with open_journal(Path(job.output), about, overwrite=job.overwrite) as journal:
        if journal.complete:
            return Result(total, total, 0, 0.0, reader.report.summary())
        with show(total, journal.done) as progress:
            for line in _lines(responder, job, first=journal.done):
                journal.add(line.text)
                failed += line.failed
                progress.update()
        journal.finish()
        return Result(total, journal.done, failed, time.monotonic() - begun, reader.report.summary())


@dataclass(frozen=True)
class _Line:
    text: str
    failed: bool


@dataclass(frozen=True)
class _Asked:
    """A conversation, and its reply that is being made, or why it cannot be."""

    number: int
    conversation: Conversation
    replying: Replying | ValueError


def _lines(responder: Responder, job: Job, *, first: int) -> Iterator[_Line]:
    """The lines of the output from the given one on."""
    asked: deque[_Asked] = deque()
    try:
        for number, conversation in islice(enumerate(job.reader()), first, None):
            while len(asked) >= job.concurrency:
                yield _line(job, asked.popleft())
            while (one := _ask(responder, job, number, conversation)) is None:
                if asked:
                    yield _line(job, asked.popleft())
                else:
                    time.sleep(_PATIENCE)
            asked.append(one)
        while asked:
            yield _line(job, asked.popleft())
    finally:
        for one in asked:
            if not isinstance(one.replying, ValueError):
                one.replying.cancel()


def _ask(responder: Responder, job: Job, number: int, conversation: Conversation) -> _Asked | None:
    """Asks for a reply; None when the responder has too much to do."""
    try:
        replying: Replying | ValueError = responder.start(
            job.context(conversation),
            persona=conversation.persona or job.persona,
            options=job.options,
            seed=job.seed_of(number),
        )
    except QueueFull:
        return None
    except ValueError as error:
        replying = error
    return _Asked(number, conversation, replying)


def _line(job: Job, asked: _Asked) -> _Line:
    """Waits for a reply and makes it a line."""
    try:
        if isinstance(asked.replying, ValueError):
            raise asked.replying
        return _written(job, asked.conversation, asked.replying.reply())
    except ValueError as error:
        if job.on_error == "stop":
            raise ValueError(
                f"{job.input}: conversation {asked.number + 1}: {error}, or go on with --on_error skip"
            ) from error
        meta = {**(asked.conversation.meta or {}), "error": str(error)}
        return _Line(dump(job.context(asked.conversation), asked.conversation.persona, meta), True)


def _written(job: Job, conversation: Conversation, reply: Reply) -> _Line:
    """A conversation that ends with the reply; one without text cannot be a turn, and is left out of the turns."""
    texts = [candidate.text for candidate in reply.candidates]
    said = next((text for text in texts if text.strip()), None)
    meta = {**(conversation.meta or {}), "responses": texts, **_provenance(reply)}
    if job.last:
        meta["gold"] = conversation.turns[-1]
    meta |= {"finish": reply.finish, "seed": reply.seed, "turns_dropped": reply.turns_dropped}
    turns = [*job.context(conversation), *([said] if said is not None else [])]
    return _Line(dump(turns, conversation.persona or job.persona, meta), said is None)


def _provenance(reply: Reply) -> dict[str, Any]:
    """What is known of the candidates beside their texts; an entry for each in every list."""
    known: dict[str, Any] = {}
    candidates = reply.candidates
    if any(candidate.score is not None for candidate in candidates):
        known["scores"] = [_rounded(candidate.score) for candidate in candidates]
    if reply.ranked_by:
        known["ranked_by"] = reply.ranked_by
    if any(candidate.source != "written" or candidate.scores for candidate in candidates):
        known["provenance"] = [_came_from(candidate) for candidate in candidates]
    return known


def _came_from(candidate: Candidate) -> dict[str, Any]:
    found: dict[str, Any] = {"source": candidate.source}
    if candidate.number is not None:
        found["number"] = candidate.number
    if candidate.metadata:
        found["metadata"] = dict(candidate.metadata)
    if candidate.scores:
        found["scores"] = {stage: _rounded(score) for stage, score in candidate.scores.items()}
    return found


def _rounded(score: float | None) -> float | None:
    """More digits would tell of the others in the batch; what has no text has no score, as JSON knows no infinity."""
    return None if score is None or not math.isfinite(score) else round(score, 4)

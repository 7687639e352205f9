"""A context in, pieces and the Reply out, awaited: places, the policy, the deadline, and leaving are seen to here."""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from convmodel.responders.protocol import Candidate, Reply, ReplyHandle, Responder, Session
from convmodel.serving.jobs import CompletedJob, JobRunner, Made, RejectedBeforeStart
from convmodel.serving.metrics import Metrics
from convmodel.serving.safety.policy import Blocked, Policy

__all__ = ["SEEDS", "Blocked", "CheckedReply", "Policy", "Replies", "ReplyJob", "ReplyRequest"]

SEEDS = 2**31
"""Seeds that are drawn are below this: short enough to be told and sent again."""


@dataclass(frozen=True)
class ReplyRequest:
    """What is to be replied to.

    Args:
        context: the turns so far, oldest first.
        persona: sentences about the one who replies.
        options: of the preset and of the request, as one.
        seed: with it the same request gives the same reply.
        unchecked: how many of the last turns no policy has seen before; None is all of them.
    """

    context: Sequence[str]
    persona: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    unchecked: int | None = None


@dataclass(frozen=True)
class CheckedReply:
    """What is said.

    Args:
        reply: as it was made, without what is not said: where it is blocked, its one candidate is what is said instead.
        blocked: why something else is said, if it is.
        withheld: the text that is not said, of a reply that is blocked.
    """

    reply: Reply
    blocked: Blocked | None = None
    withheld: str | None = None

    @property
    def text(self) -> str:
        """What is said."""
        return self.reply.text

    @property
    def finish(self) -> str:
        """Why it is over: that of the reply, or "filtered"."""
        return self.reply.finish if self.blocked is None else "filtered"


class _InputBlocked(RejectedBeforeStart):
    """Nothing is made: the policy does not let the request in."""

    def __init__(self, blocked: Blocked) -> None:
        self.blocked = blocked


class ReplyJob:
    """A reply that is being made. Whoever stops waiting for it calls `stop`, in a `finally`.

    Args:
        made: the reply.
    """

    def __init__(self, made: Made[CheckedReply] | CompletedJob[CheckedReply]) -> None:
        self._made = made

    @property
    def ready(self) -> CheckedReply | None:
        """The reply, where there was one already: the policy does not let the request in."""
        return self._made.found if isinstance(self._made, CompletedJob) else None

    async def __aiter__(self) -> AsyncIterator[str]:
        """Pieces; once. Joined, they are the text.

        Raises:
            Refusal: as `answer`.
        """
        given = False
        async for piece in self._made.pieces():
            given = True
            yield piece
        if not given and (text := (await self.answer()).text):
            yield text

    async def answer(self) -> CheckedReply:
        """Waits for the end.

        Raises:
            Refusal: 504 after the deadline, 500 when something went wrong, 503 when the server is ending.
        """
        return await self._made.result()

    def stop(self) -> None:
        """Ends it; what was written so far is the reply. More than once is no error."""
        self._made.stop()


class Replies:
    """Has replies made.

    Args:
        responder: makes them.
        makings: sees to their places.
        metrics: count them.
        policy: what may be said; None lets everything through.
    """

    def __init__(
        self, responder: Responder, *, makings: JobRunner, metrics: Metrics, policy: Policy | None = None
    ) -> None:
        self.responder = responder
        self._makings, self._metrics, self._policy = makings, metrics, policy

    async def begin(
        self,
        asked: ReplyRequest,
        *,
        owner: str,
        user: str | None = None,
        session: Session | None = None,
        pieces: bool = True,
    ) -> ReplyJob:
        """Begins a reply.

        Args:
            asked: what is replied to.
            owner: who asks.
            user: whom the owner asks for, where it tells them apart.
            session: of the conversation, when there is one.
            pieces: whether anybody reads the pieces; it costs less when nobody does.

        Raises:
            Refusal: 400 for turns or options that cannot be followed, 429 when there is too much to do or too much is
                open, 503 when the server is ending.
        """
        [making] = await self.begin_several([asked], owner=owner, user=user, session=session, pieces=pieces)
        return making

    async def begin_several(
        self,
        several: Sequence[ReplyRequest],
        *,
        owner: str,
        user: str | None = None,
        session: Session | None = None,
        pieces: bool = True,
    ) -> list[ReplyJob]:
        """Begins all of several replies, or none; see `begin`."""
        self._makings.take(len(several), owner=owner, user=user)
        begun: list[ReplyJob] = []
        try:
            for asked in several:
                begun.append(await self._begin(asked, owner, user, session, pieces))
        except BaseException:
            for making in begun:
                making.stop()
            self._makings.give_back(len(several) - len(begun) - 1, owner=owner, user=user)
            raise
        return begun

    async def _begin(
        self, asked: ReplyRequest, owner: str, user: str | None, session: Session | None, pieces: bool
    ) -> ReplyJob:
        seed = secrets.randbelow(SEEDS) if asked.seed is None else asked.seed

        def start() -> ReplyHandle:
            self._let_in(asked)
            return self.responder.start(
                asked.context, persona=asked.persona, options=asked.options, seed=seed, session=session
            )

        held = self._policy is not None and self._policy.checks_output
        try:
            made = await self._makings.begin(start, self._answer, owner=owner, user=user, pieces=pieces and not held)
        except _InputBlocked as error:
            assert self._policy is not None
            return ReplyJob(CompletedJob(CheckedReply(Reply((Candidate(self._policy.say),)), error.blocked)))
        return ReplyJob(made)

    # In the threads

    def _let_in(self, asked: ReplyRequest) -> None:
        """Raises what says that the policy does not."""
        if self._policy is None or not self._policy.checks_input:
            return
        new = asked.context if asked.unchecked is None else asked.context[len(asked.context) - asked.unchecked :]
        blocked = self._policy.check_input([*asked.persona, *new])
        if blocked is not None:
            raise _InputBlocked(blocked)

    def _answer(self, replying: ReplyHandle) -> CheckedReply:
        reply = replying.reply()
        self._metrics.replied(reply)
        return self._let_out(reply)

    def _let_out(self, reply: Reply) -> CheckedReply:
        """The first candidate that may be said, and those others that may be."""
        if self._policy is None or not self._policy.checks_output:
            return CheckedReply(reply)
        picked, blocked = self._policy.pick(reply)
        if picked is not None:
            return CheckedReply(picked)
        instead = replace(reply, candidates=(Candidate(self._policy.say),), ranked_by="")
        return CheckedReply(instead, blocked, withheld=reply.text)

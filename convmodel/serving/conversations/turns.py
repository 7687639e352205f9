"""What a user says in, an exchange out: what was said is stored before the reply comes, the reply when it is over."""

import json

from convmodel.responders.protocol import Session
from convmodel.serving.conversations.errors import conflict, state, told
from convmodel.serving.conversations.pending_reply import Json, PendingReply
from convmodel.serving.conversations.persistence import ExpectedVersion, Request, store_outcome, store_said
from convmodel.serving.conversations.schemas import AskReply, Say
from convmodel.serving.conversations.service import Conversations
from convmodel.serving.conversations.turn_plan import Keep, TurnPlan, outcome, plan
from convmodel.serving.reply_jobs import CheckedReply, ReplyJob
from convmodel.serving.routes.replies import no_replies
from convmodel.serving.schemas import ReplyBody
from convmodel.serving.sse import dump
from convmodel.serving.store import Conflict, KeyAlreadyUsed, idempotency


class TurnService:
    """Has replies made in conversations, and stores them.

    Args:
        conversations: in which.
    """

    def __init__(self, conversations: Conversations) -> None:
        self._of = conversations
        self._store, self._service = conversations.store, conversations.service
        self._open: set[tuple[str, str]] = set()
        """Owners and keys of the requests that are being answered."""

    async def begin(self, request: Request) -> PendingReply:
        """Stores what is said, and begins the reply; or finds what was answered to the same request before.

        Raises:
            Refusal: 400, 404, 409, 429, 503; nothing was stored then.
        """
        if (exchange := await self._again(request)) is not None:
            return exchange
        try:
            return await self._first(request)
        except (Conflict, KeyAlreadyUsed):
            # It may be this very request that was quicker, elsewhere.
            if (exchange := await self._again(request)) is not None:
                return exchange
            raise conflict() from None

    async def _first(self, request: Request) -> PendingReply:
        ask = request.ask
        whole = await self._of.load(request.owner, request.id, version=ask.version, replies=request.what == "retry")
        superseded = self._of.running.get(request.id)
        if superseded is not None and not (isinstance(ask, Say) and whole.waiting):
            raise state("a reply is being made in this conversation; wait for it, or stop it", "running")
        planned = plan(self._service, whole, request.what, ask)
        standing = ExpectedVersion(
            whole.version, whole.turns_version, exact=ask.version is not None and not planned.stored
        )
        making, session = await self._make(request, planned)
        try:
            if making.ready is not None:  # the policy does not let it in
                body = await self._end(request, planned, making.ready, session, standing)
                if not body["waiting"]:  # a turn that a reply was being made to is gone
                    self._of.end_reply(request.id)
                said = {"turn": body["said"], "version": body["version"]} if request.what == "turns" else None
                return PendingReply(said, answer=body)
            if not planned.stored:
                with told():
                    standing = await self._store.writing(store_said, request, planned.said, standing)
        except BaseException:
            making.stop()
            raise
        if superseded is not None:
            superseded.stop()
        return self._run(request, planned, making, session, standing)

    async def _again(self, request: Request) -> PendingReply | None:
        """What was answered before under the same key, or the reply to what was said then; None for a new request.

        Raises:
            Refusal: 409 for another request under the same key, one that is being answered, and where the conversation
                went on.
        """
        if request.key is None:
            return None
        before = await self._of.asked_before(request.owner, request.key, request.digest)
        if before is None:
            return None
        if before.answer is not None:
            return PendingReply(before.said, answer=before.answer)
        if (request.owner, request.key) in self._open:
            raise state("the first request with this Idempotency-Key is still being answered", "idempotency")
        whole = await self._of.load(request.owner, request.id, replies=False)
        if whole.turns_version != before.turns_version:
            raise conflict()
        ask = AskReply(**{name: getattr(request.ask, name) for name in AskReply.model_fields})
        planned = plan(self._service, whole, "reply", ask)
        making, session = await self._make(request, planned)
        standing = ExpectedVersion(whole.version, whole.turns_version, said=before.said, kept=True)
        return self._run(request, planned, making, session, standing)

    async def _make(self, request: Request, planned: TurnPlan) -> tuple[ReplyJob, Session]:
        if self._service.replies is None:
            raise no_replies()
        session = self._of.sessions.of(planned.whole)
        making = await self._service.replies.begin(
            planned.asked, owner=request.owner, session=session, pieces=request.ask.stream
        )
        return making, session

    def _run(
        self, request: Request, planned: TurnPlan, making: ReplyJob, session: Session, standing: ExpectedVersion
    ) -> PendingReply:
        if request.key is not None:
            self._open.add((request.owner, request.key))
        exchange = PendingReply(standing.said, making=making)
        self._of.run(request.id, exchange, self._finish(request, planned, making, session, standing))
        return exchange

    async def _finish(
        self, request: Request, planned: TurnPlan, making: ReplyJob, session: Session, standing: ExpectedVersion
    ) -> Json:
        """Waits for the reply, and stores it."""
        try:
            return await self._end(request, planned, await making.answer(), session, standing)
        except (Conflict, KeyAlreadyUsed):
            if request.key is not None:
                with told():
                    before = await self._store.reading(idempotency.find, request.owner, request.key)
                if before is not None and before.request == request.digest and before.answer is not None:
                    return before.answer
            raise conflict() from None
        finally:
            if request.key is not None:
                self._open.discard((request.owner, request.key))

    async def _end(
        self, request: Request, planned: TurnPlan, answer: CheckedReply, session: Session, standing: ExpectedVersion
    ) -> Json:
        """Stores what became of it.

        Raises:
            Conflict, Taken: when somebody was quicker.
            Refusal: 404, 503.
        """
        reply = json.loads(dump(ReplyBody.of(answer)))
        keep: Keep = getattr(self._service.policy, "store", "placeholder")
        result = outcome(planned, answer, reply, keep, stored=planned.stored or standing.said is not None)
        with told():
            stored, body = await self._store.writing(store_outcome, request, result, reply, standing)
        if planned.replaces or result.keep != planned.said.number:
            self._store.unclean = True
        if answer.blocked is None:
            self._of.sessions.keep(stored, session)
        else:
            self._of.sessions.drop(request.id)
        return body

"""Generate replies in conversations: the user's turn is stored before the reply begins, the reply when it ends."""

from convmodel.responders.protocol import Session
from convmodel.serving.conversations.errors import invalid_state, translate_store_errors, version_conflict
from convmodel.serving.conversations.pending_reply import Json, PendingReply
from convmodel.serving.conversations.persistence import make_result, said_in, store_result, store_user_turn
from convmodel.serving.conversations.service import Conversations
from convmodel.serving.conversations.turn_plan import TurnPlan, TurnRequest, make_plan
from convmodel.serving.reply_jobs import CheckedReply
from convmodel.serving.routes.replies import no_replies
from convmodel.serving.store.errors import Conflict, KeyAlreadyUsed
from convmodel.serving.thread_bridge import AsyncJob


class TurnService:
    """Generates and stores the replies of conversations."""

    def __init__(self, conversations: Conversations) -> None:
        self.conversations = conversations
        self._store = conversations.store
        self._service = conversations.service
        self._open: set[tuple[str, str | None]] = set()
        """(owner, idempotency key) of the requests in progress."""

    async def begin(self, request: TurnRequest) -> PendingReply:
        """Store the user's turn and begin the reply, or return the answer to an earlier identical request.

        Raises:
            APIError: 400, 404, 409, 429, 503; nothing is stored in these cases.
        """
        if (pending := await self._begin_again(request)) is not None:
            return pending
        try:
            return await self._begin_new(request)
        except (Conflict, KeyAlreadyUsed):
            # The concurrent change may be this very request, on another server.
            if (pending := await self._begin_again(request)) is not None:
                return pending
            raise version_conflict() from None

    async def _begin_new(self, request: TurnRequest) -> PendingReply:
        replies = request.action == "retry"
        conversation = await self.conversations.load(
            request.owner, request.id, version=request.body.version, replies=replies
        )
        superseded = self.conversations.running.get(request.id)
        if superseded is not None and not (request.action == "turns" and conversation.waiting):
            raise invalid_state("a reply is in progress in this conversation; wait for it, or stop it", "running")
        plan = make_plan(self._service, conversation, request)
        job, session = await self._start(plan)
        try:
            if job.precomputed is not None:  # the policy blocked the input
                answer = await self._finish(plan, job.precomputed, session)
                if not answer["waiting"]:  # the turn of the reply in progress was replaced
                    self.conversations.running.drop(request.id)
                return PendingReply(said_in(answer), answer=answer)
            if not plan.stored:
                with translate_store_errors():
                    plan = await self._store.awrite(store_user_turn, plan)
        except BaseException:
            job.cancel()
            raise
        if superseded is not None:
            superseded.cancel()
        return self._run(plan, job, session)

    async def _begin_again(self, request: TurnRequest) -> PendingReply | None:
        """Answer a repetition of an earlier request with the same key; return None for a new request.

        If the earlier request stored the user's turn but no reply, the reply is generated now.

        Raises:
            APIError: 409 if another request used the key, if the earlier request is still in progress, or if the
                conversation has changed since.
        """
        if request.key is None:
            return None
        record = await self.conversations.find_repeated(request.owner, request.key, request.digest)
        if record is None:
            return None
        if record.answer is not None:
            return PendingReply(record.said, answer=record.answer)
        if (request.owner, request.key) in self._open:
            raise invalid_state("the first request with this Idempotency-Key is still in progress", "idempotency")
        conversation = await self.conversations.load(request.owner, request.id, replies=False)
        if conversation.turns_version != record.turns_version:
            raise version_conflict()
        plan = make_plan(self._service, conversation, request, said=record.said)
        job, session = await self._start(plan)
        return self._run(plan, job, session)

    async def _start(self, plan: TurnPlan) -> tuple[AsyncJob[CheckedReply], Session]:
        if self._service.replies is None:
            raise no_replies()
        session = self.conversations.sessions.of(plan.conversation)
        [job] = await self._service.replies.start(
            [plan.reply_request], owner=plan.request.owner, session=session, pieces=plan.request.body.stream
        )
        return job, session

    def _run(self, plan: TurnPlan, job: AsyncJob[CheckedReply], session: Session) -> PendingReply:
        self._open.add((plan.request.owner, plan.request.key))
        pending = PendingReply(plan.said, job=job)
        self.conversations.running.run(plan.request.id, pending, self._wait_and_finish(plan, job, session))
        return pending

    async def _wait_and_finish(self, plan: TurnPlan, job: AsyncJob[CheckedReply], session: Session) -> Json:
        """Wait for the reply, store it, and return the response body."""
        request = plan.request
        try:
            return await self._finish(plan, await job.result(), session)
        except (Conflict, KeyAlreadyUsed):
            record = await self.conversations.find_repeated(request.owner, request.key, request.digest)
            if record is not None and record.answer is not None:
                return record.answer
            raise version_conflict() from None
        finally:
            self._open.discard((request.owner, request.key))

    async def _finish(self, plan: TurnPlan, answer: CheckedReply, session: Session) -> Json:
        """Store a reply, and return the response body.

        Raises:
            Conflict: if the conversation was changed meanwhile.
            KeyAlreadyUsed: if a concurrent request stored the idempotency key first.
            APIError: 404, 503.
        """
        result = make_result(plan, answer, getattr(self._service.policy, "store", "placeholder"))
        with translate_store_errors():
            stored, body = await self._store.awrite(store_result, plan, result)
        if plan.replaces or result.keep != plan.user_turn.number:
            self._store.unclean = True  # turns were deleted or replaced
        if answer.blocked is None:
            self.conversations.sessions.keep(stored, session)
        else:
            self.conversations.sessions.drop(plan.request.id)
        return body

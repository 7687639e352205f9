"""Generate replies in conversations: the user's turn is stored before the reply begins, the reply when it ends."""

from convmodel.responders.protocol import Session
from convmodel.serving.conversations.errors import invalid_state, store_errors_as_api_errors, version_conflict
from convmodel.serving.conversations.pending_reply import Json, PendingReply
from convmodel.serving.conversations.persistence import ExpectedVersion, TurnRequest, store_result, store_user_turn
from convmodel.serving.conversations.schemas import NewReply, NewTurn
from convmodel.serving.conversations.service import Conversations
from convmodel.serving.conversations.turn_plan import TurnPlan, make_plan, make_result
from convmodel.serving.reply_jobs import CheckedReply
from convmodel.serving.routes.replies import no_replies
from convmodel.serving.safety.policy import BlockedStorage
from convmodel.serving.schemas import ReplyBody
from convmodel.serving.sse import plain
from convmodel.serving.store import idempotency
from convmodel.serving.store.errors import Conflict, KeyAlreadyUsed
from convmodel.serving.thread_bridge import AsyncJob


class TurnService:
    """Generates and stores the replies of conversations.

    Args:
        conversations: the stored conversations.
    """

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations
        self._store = conversations.store
        self._service = conversations.service
        self._open: set[tuple[str, str]] = set()
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
        body = request.body
        conversation = await self._conversations.load(
            request.owner, request.id, version=body.version, replies=request.action == "retry"
        )
        superseded = self._conversations.running.get(request.id)
        if superseded is not None and not (isinstance(body, NewTurn) and conversation.waiting):
            raise invalid_state("a reply is in progress in this conversation; wait for it, or stop it", "running")
        plan = make_plan(self._service, conversation, request.action, body)
        expected = ExpectedVersion(
            conversation.version, conversation.turns_version, exact=body.version is not None and not plan.stored
        )
        job, session = await self._start(request, plan)
        try:
            if job.precomputed is not None:  # the policy blocked the input
                answer = await self._finish(request, plan, job.precomputed, session, expected)
                if not answer["waiting"]:  # the turn of the reply in progress was replaced
                    self._conversations.end_reply(request.id)
                said = {"turn": answer["said"], "version": answer["version"]} if request.action == "turns" else None
                return PendingReply(said, answer=answer)
            if not plan.stored:
                with store_errors_as_api_errors():
                    expected = await self._store.awrite(store_user_turn, request, plan.user_turn, expected)
        except BaseException:
            job.cancel()
            raise
        if superseded is not None:
            superseded.stop()
        return self._run(request, plan, job, session, expected)

    async def _begin_again(self, request: TurnRequest) -> PendingReply | None:
        """Answer a repetition of an earlier request with the same key; return None for a new request.

        If the earlier request stored the user's turn but no reply, the reply is generated now.

        Raises:
            APIError: 409 if another request used the key, if the earlier request is still in progress, or if the
                conversation has changed since.
        """
        if request.key is None:
            return None
        record = await self._conversations.find_repeated(request.owner, request.key, request.digest)
        if record is None:
            return None
        if record.answer is not None:
            return PendingReply(record.said, answer=record.answer)
        if (request.owner, request.key) in self._open:
            raise invalid_state("the first request with this Idempotency-Key is still in progress", "idempotency")
        conversation = await self._conversations.load(request.owner, request.id, replies=False)
        if conversation.turns_version != record.turns_version:
            raise version_conflict()
        body = NewReply(**{name: getattr(request.body, name) for name in NewReply.model_fields})
        plan = make_plan(self._service, conversation, "reply", body)
        job, session = await self._start(request, plan)
        expected = ExpectedVersion(conversation.version, conversation.turns_version, said=record.said, key_stored=True)
        return self._run(request, plan, job, session, expected)

    async def _start(self, request: TurnRequest, plan: TurnPlan) -> tuple[AsyncJob[CheckedReply], Session]:
        if self._service.replies is None:
            raise no_replies()
        session = self._conversations.sessions.of(plan.conversation)
        job = await self._service.replies.start(
            plan.reply_request, owner=request.owner, session=session, pieces=request.body.stream
        )
        return job, session

    def _run(
        self,
        request: TurnRequest,
        plan: TurnPlan,
        job: AsyncJob[CheckedReply],
        session: Session,
        expected: ExpectedVersion,
    ) -> PendingReply:
        if request.key is not None:
            self._open.add((request.owner, request.key))
        pending = PendingReply(expected.said, job=job)
        self._conversations.run(request.id, pending, self._wait_and_finish(request, plan, job, session, expected))
        return pending

    async def _wait_and_finish(
        self,
        request: TurnRequest,
        plan: TurnPlan,
        job: AsyncJob[CheckedReply],
        session: Session,
        expected: ExpectedVersion,
    ) -> Json:
        """Wait for the reply, store it, and return the response body."""
        try:
            return await self._finish(request, plan, await job.result(), session, expected)
        except (Conflict, KeyAlreadyUsed):
            if request.key is not None:
                with store_errors_as_api_errors():
                    record = await self._store.aread(idempotency.find, request.owner, request.key)
                if record is not None and record.request == request.digest and record.answer is not None:
                    return record.answer
            raise version_conflict() from None
        finally:
            if request.key is not None:
                self._open.discard((request.owner, request.key))

    async def _finish(
        self, request: TurnRequest, plan: TurnPlan, answer: CheckedReply, session: Session, expected: ExpectedVersion
    ) -> Json:
        """Store a reply, and return the response body.

        Raises:
            Conflict: if the conversation was changed meanwhile.
            KeyAlreadyUsed: if a concurrent request stored the idempotency key first.
            APIError: 404, 503.
        """
        reply = plain(ReplyBody.of(answer))
        storage: BlockedStorage = getattr(self._service.policy, "store", "placeholder")
        result = make_result(plan, answer, reply, storage, stored=plan.stored or expected.said is not None)
        with store_errors_as_api_errors():
            stored, body = await self._store.awrite(store_result, request, result, reply, expected)
        if plan.replaces or result.keep != plan.user_turn.number:
            self._store.unclean = True  # turns were deleted or replaced
        if answer.blocked is None:
            self._conversations.sessions.keep(stored, session)
        else:
            self._conversations.sessions.drop(request.id)
        return body

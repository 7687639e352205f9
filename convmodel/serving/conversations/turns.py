"""Generation of replies in conversations: the user's turn is stored before its reply begins, the reply at its end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from convmodel.responders.protocol import Session
from convmodel.serving.conversations.errors import invalid_state, translate_store_errors, version_conflict
from convmodel.serving.conversations.schemas import turn_json
from convmodel.serving.conversations.service import Conversations
from convmodel.serving.conversations.turn_plan import Json, TurnPlan, TurnRequest, make_plan
from convmodel.serving.errors import APIError
from convmodel.serving.json_body import plain
from convmodel.serving.logs import log_defect
from convmodel.serving.reply_jobs import CheckedReply, stream_text
from convmodel.serving.safety.policy import PLACEHOLDER, BlockedStorage
from convmodel.serving.schemas import ReplyBody
from convmodel.serving.service import require_replies
from convmodel.serving.store import conversations
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.errors import Conflict, KeyAlreadyUsed
from convmodel.serving.store.idempotency import IdempotencyRecord, change_once
from convmodel.serving.store.records import Turn, now
from convmodel.serving.thread_bridge import AsyncJob

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PendingReply:
    """A reply in progress to a stored user turn. When it ends, it is stored, even if the client has disconnected.

    Args:
        said: `turn`, the stored user turn as JSON, and `version`, the version of the conversation after storing it;
            None if this request stored no turn.
        pieces: iterator over the pieces of the reply's text; raises the errors of `AsyncJob.result`.
        answer: future of the response body, done when the reply is stored. Raises `APIError` 409 if the conversation
            was changed meanwhile, and the errors of `AsyncJob.result` and of the store.
        cancel: function that stops generating; the text generated so far is stored.
    """

    said: Json | None
    pieces: AsyncIterator[str]
    answer: asyncio.Future[Json]
    cancel: Callable[[], None]


class TurnService:
    """Generates and stores the replies of conversations. Not thread-safe: use from one event loop."""

    def __init__(self, conversations: Conversations) -> None:
        self.conversations = conversations
        self._store = conversations.store
        self._service = conversations.service
        self._running = conversations.running
        self._tasks: set[asyncio.Task[Json]] = set()
        self._open: set[tuple[str, str | None]] = set()
        """(owner, idempotency key) of the requests in progress."""

    async def begin(self, request: TurnRequest) -> PendingReply:
        """Store the user's turn and begin the reply, or return the stored reply of an identical earlier request.

        An earlier request with the same idempotency key that stored only the user's turn gets its reply now.

        Raises:
            APIError: 400 for invalid values, 404 for an unknown conversation, 409 if the conversation's state does not
                allow the request, 429 and 503 if the server is busy or the store is not available. Nothing is stored
                then.
        """
        earlier = await self._find_earlier(request)
        if earlier is None:
            try:
                return await self._begin(request)
            except (Conflict, KeyAlreadyUsed):
                # The concurrent change may come from a repetition of this request, on another server.
                earlier = await self._find_earlier(request)
                if earlier is None:
                    raise version_conflict() from None
        if earlier.answer is not None:
            return _stored_reply(earlier.said, earlier.answer)
        if (request.owner, request.key) in self._open:
            raise invalid_state("the first request with this Idempotency-Key is still in progress", "idempotency")
        return await self._begin(request, earlier)

    async def end(self) -> None:
        """Stop all replies, and wait until they are stored."""
        for job in self._running.values():
            job.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _find_earlier(self, request: TurnRequest) -> IdempotencyRecord | None:
        return await self.conversations.find_repeated(request.owner, request.key, request.digest)

    async def _begin(self, request: TurnRequest, earlier: IdempotencyRecord | None = None) -> PendingReply:
        with translate_store_errors():
            conversation = await self._store.aread(
                conversations.load, request.owner, request.id, replies=request.action == "retry"
            )
        superseded = self._running.get(request.id) if earlier is None else None
        service = self.conversations.service_of(conversation)
        replies = require_replies(service)
        plan = make_plan(service, conversation, request, earlier=earlier, running=superseded is not None)
        session = self.conversations.sessions.of(conversation)
        reply_request = replace(plan.reply_request, session=session)
        [job] = await replies.start([reply_request], owner=request.owner, pieces=request.body.stream)
        try:
            if job.precomputed is not None and earlier is None:  # the policy blocked the input
                return await self._store_blocked(plan, job.precomputed, session)
            if not plan.stored:
                keep = plan.user_turn.number - 1
                update = ConversationUpdate(plan.version, plan.record.turns_version, keep=keep, add=[plan.user_turn])
                record = replace(plan.record, said={"turn": turn_json(plan.user_turn)})
                with translate_store_errors():
                    _, record = await self._store.awrite(change_once, request.owner, request.key, record, update)
                plan = replace(plan, stored=True, version=None, record=record)
        except BaseException:
            job.cancel()
            raise
        if superseded is not None:
            superseded.cancel()
        self._open.add((request.owner, request.key))
        self._running[request.id] = job
        task = job.then(partial(self._finish, plan, job, session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return PendingReply(plan.record.said, stream_text(job), task, job.cancel)

    async def _store_blocked(self, plan: TurnPlan, answer: CheckedReply, session: Session) -> PendingReply:
        record = await self._store_reply(plan, answer, session)
        assert record.answer is not None
        if not record.answer["waiting"]:  # the blocked exchange replaced the turn of the reply in progress
            self.conversations.forget(plan.request.id)
        return _stored_reply(record.said, record.answer)

    async def _finish(self, plan: TurnPlan, job: AsyncJob[CheckedReply], session: Session) -> Json:
        """Store the reply of a job that has ended, and return the response body."""
        request = plan.request
        try:
            record: IdempotencyRecord | None = await self._store_reply(plan, await job.result(), session)
        except (Conflict, KeyAlreadyUsed):
            record = await self._find_earlier(request)
        except Exception as error:
            if not isinstance(error, APIError):
                log_defect(logger, error, texts=self._service.settings.log_texts)
            raise
        finally:
            self._open.discard((request.owner, request.key))
            if self._running.get(request.id) is job:
                del self._running[request.id]
        if record is None or record.answer is None:
            raise version_conflict()
        return record.answer

    async def _store_reply(self, plan: TurnPlan, answer: CheckedReply, session: Session) -> IdempotencyRecord:
        """Store a reply, and return the request's record with the response body.

        Raises:
            Conflict: if the conversation was changed meanwhile.
            KeyAlreadyUsed: if a concurrent request stored the idempotency key first.
            APIError: 404 if the conversation was deleted, 503 if the store is not available.
        """
        request = plan.request
        result = make_result(plan, answer, getattr(self._service.policy, "store", "placeholder"))
        changes = ConversationUpdate(plan.version, plan.record.turns_version, keep=result.keep, add=result.add)
        update = None if result.keep is None else changes
        turn = None if result.turn is None else turn_json(result.turn)
        body: Json = {"turn": turn, "reply": result.reply, "version": 0, "waiting": result.waiting}
        said = plan.record.said
        if request.action == "turns":
            body = {**body, "said": turn_json(result.user_turn)}
            said = said or {"turn": body["said"]}
        # An empty reply is not recorded, so that a repetition of the request generates a reply again.
        key = None if turn is None else request.key
        record = replace(plan.record, said=said, answer=body)
        begun = plan.record.said is not None
        with translate_store_errors():
            stored, record = await self._store.awrite(change_once, request.owner, key, record, update, begun=begun)
        if plan.replaces or result.keep != plan.user_turn.number:
            self._store.unclean = True  # turns were deleted or replaced
        if answer.blocked is None and stored.about.model == plan.conversation.about.model:
            self.conversations.sessions.keep(stored, session)
        else:
            self.conversations.sessions.drop(request.id)
        return record


def _stored_reply(said: Json | None, body: Json) -> PendingReply:
    answer = asyncio.get_running_loop().create_future()
    answer.set_result(body)

    async def pieces() -> AsyncIterator[str]:
        if text := body["reply"]["text"]:
            yield text

    return PendingReply(said, pieces(), answer, lambda: None)


@dataclass(frozen=True)
class TurnResult:
    """Changes to a conversation after a reply.

    Args:
        reply: the reply as JSON of a `ReplyBody`.
        user_turn: the user's turn before the reply, in its stored form.
        turn: the model's turn; None if the reply is empty.
        keep: number of leading turns to keep; None if the conversation does not change.
        add: turns to append to the kept turns.
        waiting: whether the last turn has no reply afterwards.
    """

    reply: Json
    user_turn: Turn
    turn: Turn | None
    keep: int | None
    add: Sequence[Turn]
    waiting: bool = False


def make_result(plan: TurnPlan, answer: CheckedReply, storage: BlockedStorage) -> TurnResult:
    """Return the changes to a conversation after a reply; `storage` sets how blocked texts are stored."""
    reply = plain(ReplyBody.of(answer))
    user_turn = plan.user_turn
    if answer.blocked is not None:
        return _blocked_result(plan, answer, reply, storage)
    if not answer.text.strip():
        return TurnResult(reply, user_turn, None, None, (), waiting=not plan.replaces)
    turn = Turn(user_turn.number + 1, "model", answer.text, now(), reply)
    if plan.stored and not user_turn.blocked:
        return TurnResult(reply, user_turn, turn, user_turn.number, [turn])
    user_turn = replace(user_turn, blocked=False)  # the earlier, replaced reply was blocked
    return TurnResult(reply, user_turn, turn, user_turn.number - 1, [user_turn, turn])


def _blocked_result(plan: TurnPlan, answer: CheckedReply, reply: Json, storage: BlockedStorage) -> TurnResult:
    assert answer.blocked is not None
    hide = answer.blocked.side == "input" and storage != "text"
    user_turn = replace(plan.user_turn, blocked=True, text=PLACEHOLDER if hide else plan.user_turn.text)
    withheld = {"withheld": answer.withheld} if storage == "text" and answer.withheld is not None else {}
    turn = Turn(user_turn.number + 1, "model", answer.text, now(), {**reply, **withheld}, blocked=True)
    if storage != "nothing":
        return TurnResult(reply, user_turn, turn, user_turn.number - 1, [user_turn, turn])
    if plan.replaces or not plan.stored:
        return TurnResult(reply, user_turn, turn, None, (), waiting=plan.conversation.waiting)
    return TurnResult(reply, user_turn, turn, user_turn.number - 1, ())

"""Decide how a reply changes a conversation; store conversations, turns and replies with their idempotency keys."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from convmodel.serving.conversations.pending_reply import Json
from convmodel.serving.conversations.schemas import turn_json
from convmodel.serving.conversations.turn_plan import TurnPlan
from convmodel.serving.json_body import plain
from convmodel.serving.reply_jobs import CheckedReply
from convmodel.serving.safety.policy import PLACEHOLDER, BlockedStorage
from convmodel.serving.schemas import ReplyBody
from convmodel.serving.store import conversations, idempotency
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.idempotency import IdempotencyRecord
from convmodel.serving.store.records import ConversationHeader, ConversationRecord, ConversationSettings, Turn, now


@dataclass(frozen=True)
class TurnResult:
    """Changes to a conversation after a reply.

    Args:
        reply: the reply as JSON.
        user_turn: the turn that was replied to, as it is stored.
        turn: the model's turn; None if the reply is empty.
        keep: number of leading turns to keep; None if the conversation does not change.
        add: turns to store after those.
        waiting: whether the last turn waits for a reply afterwards.
    """

    reply: Json
    user_turn: Turn
    turn: Turn | None
    keep: int | None
    add: Sequence[Turn]
    waiting: bool = False


def make_result(plan: TurnPlan, answer: CheckedReply, storage: BlockedStorage) -> TurnResult:
    """Decide how a reply changes the conversation; `storage` says how blocked texts are stored."""
    reply = plain(ReplyBody.of(answer))
    user_turn = plan.user_turn
    if answer.blocked is not None:
        return _blocked_result(plan, answer, reply, storage)
    if not answer.text.strip():
        return TurnResult(reply, user_turn, None, None, (), waiting=not plan.replaces)
    turn = Turn(user_turn.number + 1, "model", answer.text, now(), reply)
    if plan.stored and not user_turn.blocked:
        return TurnResult(reply, user_turn, turn, user_turn.number, [turn])
    user_turn = replace(user_turn, blocked=False)  # the reply that is replaced was blocked, and this one is not
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


def create_once(
    connection: Connection, owner: str, key: str | None, digest: str, about: ConversationSettings, turns: Sequence[Turn]
) -> ConversationRecord:
    """Create a conversation, and store the request's idempotency key.

    Raises:
        IntegrityError: if the key is in use.
    """
    conversation = conversations.create(connection, owner, about=about, turns=turns)
    if key is not None:
        record = IdempotencyRecord(digest, conversation.id, conversation.turns_version)
        idempotency.begin(connection, owner, key, record)
    return conversation


def store_user_turn(connection: Connection, plan: TurnPlan) -> TurnPlan:
    """Store the user's turn and the request's idempotency key, and return the plan for the rest of the request.

    Raises:
        Missing, Conflict: see `conversations.change`.
        IntegrityError: if the idempotency key is in use.
    """
    request = plan.request
    stored = _change(connection, plan, plan.user_turn.number - 1, [plan.user_turn])
    said = {"turn": turn_json(plan.user_turn), "version": stored.version}
    if request.key is not None:
        record = IdempotencyRecord(request.digest, request.id, stored.turns_version, said)
        idempotency.begin(connection, request.owner, request.key, record)
    return replace(plan, stored=True, version=None, turns_version=stored.turns_version, said=said)


def store_result(connection: Connection, plan: TurnPlan, result: TurnResult) -> tuple[ConversationHeader, Json]:
    """Store a reply, and the response body under the request's idempotency key.

    Returns:
        The conversation and the response body.

    Raises:
        Missing, Conflict: see `conversations.change`.
        IntegrityError: if the idempotency key is in use.
    """
    request = plan.request
    if result.keep is None:
        stored: ConversationHeader = conversations.load(connection, request.owner, request.id, replies=False)
    else:
        stored = _change(connection, plan, result.keep, result.add)
    answer = {
        "turn": None if result.turn is None else turn_json(result.turn),
        "reply": result.reply,
        "version": stored.version,
        "waiting": result.waiting,
    }
    if request.action == "turns":
        answer["said"] = turn_json(result.user_turn)
    # An empty reply is not recorded, so that a repetition of the request generates again.
    if request.key is not None and result.turn is not None:
        if plan.said is not None:
            idempotency.finish(connection, request.owner, request.key, answer)
        else:
            record = IdempotencyRecord(request.digest, request.id, stored.turns_version, said_in(answer), answer)
            idempotency.begin(connection, request.owner, request.key, record)
    return stored, answer


def said_in(answer: Json) -> Json | None:
    """Return the user turn in a response body, with the conversation's version; None if there is no user turn."""
    return {"turn": answer["said"], "version": answer["version"]} if "said" in answer else None


def _change(connection: Connection, plan: TurnPlan, keep: int, add: Sequence[Turn]) -> ConversationHeader:
    update = ConversationUpdate(version=plan.version, turns_version=plan.turns_version, keep=keep, add=add)
    return conversations.change(connection, plan.request.owner, plan.request.id, update)

"""Decide how to answer a request for a reply, and how the reply changes the conversation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from convmodel.serving.conversations.errors import invalid_state
from convmodel.serving.conversations.schemas import NewReply, NewTurn
from convmodel.serving.errors import APIError
from convmodel.serving.reply_jobs import CheckedReply, ReplyRequest
from convmodel.serving.request_options import check_chars, resolve_options
from convmodel.serving.safety.policy import PLACEHOLDER, BlockedStorage
from convmodel.serving.schemas import MAX_SEED
from convmodel.serving.service import Service
from convmodel.serving.store.records import ConversationRecord, Turn, now

Json = Mapping[str, Any]

Action = Literal["turns", "reply", "retry"]
"""Last segment of the request path."""


@dataclass(frozen=True)
class TurnPlan:
    """The reply to generate.

    Args:
        conversation: the conversation before the request.
        user_turn: the turn to reply to.
        stored: whether the store has this turn already, with this text.
        replaces: whether the reply replaces an earlier reply.
        reply_request: the request to the responder.
    """

    conversation: ConversationRecord
    user_turn: Turn
    stored: bool
    replaces: bool
    reply_request: ReplyRequest


def make_plan(service: Service, conversation: ConversationRecord, action: Action, body: NewReply) -> TurnPlan:
    """Plan the reply that a request asks for.

    Raises:
        APIError: 400 for values over a limit, 409 if the conversation's state does not allow the action.
    """
    if action == "turns":
        assert isinstance(body, NewTurn)
        user_turn = _new_turn(service, conversation, body)
    else:
        user_turn = _turn_to_answer(conversation, action)
    context = [turn.text for turn in conversation.turns[: user_turn.number - 1] if not turn.blocked]
    reply_request = ReplyRequest(
        [*context, user_turn.text],
        persona=conversation.about.persona,
        options=_options(service, conversation, body),
        seed=_seed(conversation, action, body),
        unchecked=1,  # the policy has checked the earlier turns
    )
    replaces = action == "retry" and not conversation.waiting
    return TurnPlan(conversation, user_turn, action != "turns", replaces, reply_request)


def _new_turn(service: Service, conversation: ConversationRecord, body: NewTurn) -> Turn:
    """Return the user's new turn, joined to a turn that waits for its reply if the request says so."""
    number = len(conversation.turns) + 1
    text = body.text
    if conversation.waiting:
        if not body.join:
            raise invalid_state(
                "the last turn still waits for its reply; request the reply, or set join to add to the turn", "waiting"
            )
        number -= 1
        text = f"{conversation.turns[-1].text}\n{text}"
    check_chars(text, service.settings.turn_chars, param="text")
    if number + 1 > service.settings.turns:
        message = (
            f"the conversation has {len(conversation.turns):,} turns; {service.settings.turns:,} are allowed; "
            "begin another conversation"
        )
        raise APIError(400, message, code="too_much")
    return Turn(number, "user", text, now())


def _turn_to_answer(conversation: ConversationRecord, action: Action) -> Turn:
    """Return the turn that waits for a reply, or whose reply is to be replaced."""
    if not conversation.turns:
        raise invalid_state("the conversation has no turn to reply to; add a turn first", "nothing_said")
    if conversation.waiting:
        return conversation.turns[-1]
    if action == "reply":
        raise invalid_state("the last turn has its reply; add a turn first, or retry", "not_waiting")
    user_turn, reply = conversation.turns[-2:]
    if reply.blocked and reply.reply and (reply.reply.get("blocked") or {}).get("side") == "input":
        raise invalid_state("the last turn is blocked; undo it, and add another turn", "blocked")
    return user_turn


def _options(service: Service, conversation: ConversationRecord, body: NewReply) -> dict[str, object]:
    given = {} if body.options is None else body.options.given()
    if body.preset is not None:
        return resolve_options(service, body.preset, given)
    return resolve_options(service, conversation.about.preset, {**(conversation.about.options or {}), **given})


def _seed(conversation: ConversationRecord, action: Action, body: NewReply) -> int | None:
    """Return the seed of the reply; None lets the server draw one.

    A retry takes the last seed plus one: the same seed would repeat the reply.
    """
    seed = conversation.about.seed
    if body.seed is not None or seed is None:
        return body.seed
    if action != "retry" or conversation.waiting:
        return seed
    last = (conversation.turns[-1].reply or {}).get("seed")
    return min((seed if last is None else last) + 1, MAX_SEED)


@dataclass(frozen=True)
class TurnResult:
    """Changes to a conversation after a reply.

    Args:
        user_turn: the turn that was replied to, as it is stored.
        reply: the model's turn; None if the reply is empty.
        keep: number of leading turns to keep; None if the conversation does not change.
        add: turns to store after those.
        waiting: whether the last turn waits for a reply afterwards.
    """

    user_turn: Turn
    reply: Turn | None
    keep: int | None
    add: Sequence[Turn]
    waiting: bool


def make_result(
    plan: TurnPlan, answer: CheckedReply, reply: Json, storage: BlockedStorage, *, stored: bool
) -> TurnResult:
    """Decide how a reply changes the conversation.

    Args:
        plan: the plan of the reply.
        answer: the reply after the policy's check.
        reply: `answer` as JSON.
        storage: how blocked texts are stored.
        stored: whether the turn that was replied to is in the store by now.
    """
    user_turn = plan.user_turn
    if answer.blocked is not None:
        return _blocked_result(plan, answer, reply, storage, stored=stored)
    if not answer.text.strip():
        return TurnResult(user_turn, None, None, (), waiting=not plan.replaces)
    turn = Turn(user_turn.number + 1, "model", answer.text, now(), reply)
    if stored and not user_turn.blocked:
        return TurnResult(user_turn, turn, user_turn.number, [turn], waiting=False)
    user_turn = replace(user_turn, blocked=False)  # the reply that is replaced was blocked, and this one is not
    return TurnResult(user_turn, turn, user_turn.number - 1, [user_turn, turn], waiting=False)


def _blocked_result(
    plan: TurnPlan, answer: CheckedReply, reply: Json, storage: BlockedStorage, *, stored: bool
) -> TurnResult:
    assert answer.blocked is not None
    hide = answer.blocked.side == "input" and storage != "text"
    user_turn = replace(plan.user_turn, blocked=True, text=PLACEHOLDER if hide else plan.user_turn.text)
    withheld = {"withheld": answer.withheld} if storage == "text" and answer.withheld is not None else {}
    turn = Turn(user_turn.number + 1, "model", answer.text, now(), {**reply, **withheld}, blocked=True)
    if storage != "nothing":
        return TurnResult(user_turn, turn, user_turn.number - 1, [user_turn, turn], waiting=False)
    if plan.replaces or not stored:
        return TurnResult(user_turn, turn, None, (), waiting=plan.conversation.waiting)
    return TurnResult(user_turn, turn, user_turn.number - 1, (), waiting=False)

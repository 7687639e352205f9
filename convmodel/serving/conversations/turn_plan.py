"""Plans of replies in conversations: the turn to reply to, the context, options and seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from convmodel.serving.conversations.errors import invalid_state, version_conflict
from convmodel.serving.conversations.schemas import NewReply, NewTurn
from convmodel.serving.errors import APIError
from convmodel.serving.reply_jobs import ReplyRequest
from convmodel.serving.request_options import check_chars, resolve_options, split_context
from convmodel.serving.schemas import MAX_SEED
from convmodel.serving.service import Service
from convmodel.serving.store import idempotency
from convmodel.serving.store.idempotency import IdempotencyRecord
from convmodel.serving.store.records import ConversationRecord, Turn, now

Json = Mapping[str, Any]


@dataclass(frozen=True)
class TurnRequest:
    """A request for a reply in a conversation.

    Args:
        owner: name of the client's API key.
        id: id of the conversation.
        action: last segment of the request path.
        body: the request body; a `NewTurn` for the action "turns".
        key: idempotency key; None if the client sent none.
    """

    owner: str
    id: str
    action: Literal["turns", "reply", "retry"]
    body: NewReply
    key: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 that identifies repetitions of the request; requests that differ only in `stream` have the same."""
        return idempotency.sha256(self.action, self.id, self.body.model_dump_json(exclude={"stream"}))


@dataclass(frozen=True)
class TurnPlan:
    """The reply to generate, and the versions that the conversation must still have when the reply is stored.

    Args:
        request: the request for the reply.
        conversation: the conversation before the request.
        user_turn: the turn to reply to.
        stored: whether `user_turn` is in the store already, with its present text.
        replaces: whether the reply replaces an earlier reply.
        reply_request: the input of the responder.
        version: required version of the conversation; None accepts any, so that settings may change meanwhile.
        record: the record to store under the request's idempotency key. Its `turns_version` is the required version of
            the turns, also for requests without a key.
    """

    request: TurnRequest
    conversation: ConversationRecord
    user_turn: Turn
    stored: bool
    replaces: bool
    reply_request: ReplyRequest
    version: int | None
    record: IdempotencyRecord


def make_plan(
    service: Service,
    conversation: ConversationRecord,
    request: TurnRequest,
    *,
    earlier: IdempotencyRecord | None,
    running: bool,
) -> TurnPlan:
    """Plan the reply to a request.

    Args:
        service: the service of the conversation's model.
        earlier: the record of an earlier identical request, which stored the user's turn but no reply; None for a new
            request.
        running: whether a reply is in progress in the conversation.

    Raises:
        APIError: 400 for values over a limit or invalid options, 409 if the conversation's state does not allow the
            action.
    """
    body = request.body
    if earlier is None:
        _check_state(conversation, request, running=running)
    elif conversation.turns_version != earlier.turns_version:
        raise version_conflict()
    stored = request.action != "turns" or earlier is not None
    if stored:
        user_turn = _turn_to_answer(conversation, retry=request.action == "retry")
    else:
        assert isinstance(body, NewTurn)
        user_turn = _new_turn(service, conversation, body)
    replaces = stored and not conversation.waiting
    earlier_turns = [turn.text for turn in conversation.turns[: user_turn.number - 1] if not turn.blocked]
    context, persona = split_context([*earlier_turns, user_turn.text], conversation.about.persona)
    reply_request = ReplyRequest(
        context,
        persona=persona,
        options=_options(service, conversation, body),
        seed=_seed(conversation, body, replaces=replaces),
        unchecked=1,  # the policy has checked the earlier turns
    )
    return TurnPlan(
        request,
        conversation,
        user_turn,
        stored,
        replaces,
        reply_request,
        version=None if stored else body.version,
        record=earlier or IdempotencyRecord(request.digest, request.id, conversation.turns_version),
    )


def _check_state(conversation: ConversationRecord, request: TurnRequest, *, running: bool) -> None:
    if request.body.version not in (None, conversation.version):
        raise version_conflict()
    if running and not (request.action == "turns" and conversation.waiting):
        raise invalid_state("a reply is in progress in this conversation; wait for it, or stop it", "running")


def _new_turn(service: Service, conversation: ConversationRecord, body: NewTurn) -> Turn:
    """Return the user's new turn.

    If the last turn still waits for its reply and the request sets `join`, the new turn replaces it: its text is the
    waiting text, a newline, and the new text.
    """
    position = len(conversation.turns) + 1
    text = body.text
    if conversation.waiting:
        if not body.join:
            raise invalid_state(
                "the last turn still waits for its reply; request the reply, or set join to add to the turn", "waiting"
            )
        position -= 1
        text = f"{conversation.turns[-1].text}\n{text}"
    check_chars(text, service.settings.turn_chars, param="text")
    if position + 1 > service.settings.turns:
        message = (
            f"the conversation has {len(conversation.turns):,} turns; {service.settings.turns:,} are allowed; "
            "begin another conversation"
        )
        raise APIError(400, message, code="too_much")
    return Turn(position, "user", text, now())


def _turn_to_answer(conversation: ConversationRecord, *, retry: bool) -> Turn:
    """Return the user's turn to reply to: the turn without a reply, or with `retry` the turn of the last reply."""
    if not conversation.turns:
        raise invalid_state("the conversation has no turn to reply to; add a turn first", "nothing_said")
    if conversation.waiting:
        return conversation.turns[-1]
    if not retry:
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


def _seed(conversation: ConversationRecord, body: NewReply, *, replaces: bool) -> int | None:
    """Return the seed of the reply; None lets the server draw one.

    A reply that replaces another takes the last seed plus one: the same seed would repeat the reply.
    """
    seed = conversation.about.seed
    if body.seed is not None or seed is None:
        return body.seed
    if not replaces:
        return seed
    last = (conversation.turns[-1].reply or {}).get("seed")
    return min((seed if last is None else last) + 1, MAX_SEED)

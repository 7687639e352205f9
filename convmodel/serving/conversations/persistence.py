"""Transactions that store user turns, replies, and the responses to idempotent requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from convmodel.serving.conversations.schemas import NewReply, turn_json
from convmodel.serving.conversations.turn_plan import Action, TurnResult
from convmodel.serving.store import conversations, idempotency
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.idempotency import IdempotencyRecord
from convmodel.serving.store.records import ConversationHeader, Turn

Json = Mapping[str, Any]


@dataclass(frozen=True)
class TurnRequest:
    """A request for a reply in a conversation.

    Args:
        owner: name of the API key.
        id: conversation id.
        action: last segment of the request path.
        body: the request body.
        key: idempotency key; None if the client sent none.
    """

    owner: str
    id: str
    action: Action
    body: NewReply
    key: str | None = None

    @property
    def digest(self) -> str:
        """Digest that identifies repetitions of a request; `stream` does not count."""
        return idempotency.sha256(self.action, self.id, self.body.model_dump_json(exclude={"stream"}))


@dataclass(frozen=True)
class ExpectedVersion:
    """State that a conversation must still have when a reply is stored in it.

    Args:
        version: newest known version of the conversation.
        turns_version: required version of its turns; any other is a conflict.
        exact: whether the settings, too, must still be those of `version`.
        said: the user turn that this request stored, as JSON, and the version after that; None if it stored no turn
            (yet).
        key_stored: whether the store has the request's idempotency key.
    """

    version: int
    turns_version: int
    exact: bool = False
    said: Json | None = None
    key_stored: bool = False


def store_user_turn(
    connection: Connection, request: TurnRequest, turn: Turn, expected: ExpectedVersion
) -> ExpectedVersion:
    """Store the user's turn and the request's idempotency key.

    Returns:
        The state that the conversation must have when the reply is stored.

    Raises:
        Missing, Conflict: see `conversations.change`.
        IntegrityError: if the idempotency key is in use.
    """
    update = ConversationUpdate(
        version=expected.version if expected.exact else None,
        turns_version=expected.turns_version,
        keep=turn.number - 1,
        add=[turn],
    )
    stored = conversations.change(connection, request.owner, request.id, update)
    said = {"turn": turn_json(turn), "version": stored.version}
    if request.key is not None:
        record = IdempotencyRecord(request.digest, request.id, stored.turns_version, said, None)
        idempotency.begin(connection, request.owner, request.key, record)
    return ExpectedVersion(stored.version, stored.turns_version, said=said, key_stored=request.key is not None)


def store_result(
    connection: Connection, request: TurnRequest, result: TurnResult, reply: Json, expected: ExpectedVersion
) -> tuple[ConversationHeader, Json]:
    """Store a reply, and the response body under the request's idempotency key.

    Args:
        connection: a connection in a transaction.
        request: the request for the reply.
        result: the changes to the conversation.
        reply: the reply as JSON.
        expected: required state of the conversation.

    Returns:
        The conversation and the response body.

    Raises:
        Missing, Conflict: see `conversations.change`.
        IntegrityError: if the idempotency key is in use.
    """
    update = ConversationUpdate(
        version=expected.version if expected.exact else None,
        turns_version=expected.turns_version,
        keep=result.keep,
        add=result.add,
    )
    if result.keep is None:
        stored: ConversationHeader = conversations.load(connection, request.owner, request.id, replies=False)
    else:
        stored = conversations.change(connection, request.owner, request.id, update)
    answer = {
        "turn": None if result.reply is None else turn_json(result.reply),
        "reply": reply,
        "version": stored.version,
        "waiting": result.waiting,
    }
    if request.action == "turns":
        answer["said"] = turn_json(result.user_turn)
    # An empty reply is not recorded, so that a repetition of the request generates again.
    if request.key is not None and result.reply is not None:
        _store_answer(connection, request, stored, answer, expected)
    return stored, answer


def _store_answer(
    connection: Connection, request: TurnRequest, stored: ConversationHeader, answer: Json, expected: ExpectedVersion
) -> None:
    """Store the response body under the request's idempotency key."""
    assert request.key is not None
    if expected.key_stored:
        idempotency.finish(connection, request.owner, request.key, answer)
        return
    said = {"turn": answer["said"], "version": stored.version} if "said" in answer else None
    record = IdempotencyRecord(request.digest, request.id, stored.turns_version, said, answer)
    idempotency.begin(connection, request.owner, request.key, record)

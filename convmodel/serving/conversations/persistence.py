"""What was said and what was replied in, the transactions that keep it out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from convmodel.serving.conversations.schemas import AskReply, turn_json
from convmodel.serving.conversations.turn_plan import TurnResult, What
from convmodel.serving.store import ConversationHeader, Turn, conversations, idempotency
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.idempotency import IdempotencyRecord

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What is asked of a conversation.

    Args:
        owner: who asks.
        id: of the conversation.
        what: the last part of the address.
        ask: the body.
        key: under which the same request comes again; None where it does not.
    """

    owner: str
    id: str
    what: What
    ask: AskReply
    key: str | None = None

    @property
    def digest(self) -> str:
        """The same for the same request; how it is answered does not matter."""
        return idempotency.sha256(self.what, self.id, self.ask.model_dump_json(exclude={"stream"}))


@dataclass(frozen=True)
class ExpectedVersion:
    """How a conversation must still stand when a reply to it is stored.

    Args:
        version: the newest that is known.
        turns_version: of its turns; anything else is a conflict.
        exact: whether its settings too must be those of `version`.
        said: the turn that the request said and the version in which it was stored; None where it said nothing, or it
            is not stored yet.
        kept: whether the store knows the request's key.
    """

    version: int
    turns_version: int
    exact: bool = False
    said: Json | None = None
    kept: bool = False


def store_said(connection: Connection, request: Request, said: Turn, standing: ExpectedVersion) -> ExpectedVersion:
    """Stores what was said, and the request's key with it.

    Raises:
        Missing, Conflict: see `conversations.change`; and what says that the key is there already.
    """
    wanted = ConversationUpdate(
        version=standing.version if standing.exact else None,
        turns_version=standing.turns_version,
        keep=said.number - 1,
        add=[said],
    )
    stored = conversations.change(connection, request.owner, request.id, wanted)
    told = {"turn": turn_json(said), "version": stored.version}
    if request.key is not None:
        before = IdempotencyRecord(request.digest, request.id, stored.turns_version, told, None)
        idempotency.begin(connection, request.owner, request.key, before)
    return ExpectedVersion(stored.version, stored.turns_version, said=told, kept=request.key is not None)


def store_outcome(
    connection: Connection, request: Request, outcome: TurnResult, reply: Json, standing: ExpectedVersion
) -> tuple[ConversationHeader, Json]:
    """Stores a reply, and what is answered under the request's key.

    Args:
        connection: in a transaction.
        request: that asked for it.
        outcome: what there is to store.
        reply: as JSON.
        standing: as the conversation must stand.

    Returns:
        The conversation, and the answer.

    Raises:
        Missing, Conflict: see `conversations.change`; and what says that the key is there already.
    """
    wanted = ConversationUpdate(
        version=standing.version if standing.exact else None,
        turns_version=standing.turns_version,
        keep=outcome.keep,
        add=outcome.add,
    )
    if outcome.keep is None:
        stored: ConversationHeader = conversations.load(connection, request.owner, request.id, replies=False)
    else:
        stored = conversations.change(connection, request.owner, request.id, wanted)
    answer = {
        "turn": None if outcome.turn is None else turn_json(outcome.turn),
        "reply": reply,
        "version": stored.version,
        "waiting": outcome.waiting,
    }
    if request.what == "turns":
        answer["said"] = turn_json(outcome.said)
    if request.key is not None and outcome.turn is not None:
        _keep(connection, request, stored, answer, standing)
    return stored, answer


def _keep(
    connection: Connection, request: Request, stored: ConversationHeader, answer: Json, standing: ExpectedVersion
) -> None:
    """Keeps an answer; where nothing was written, the same request is to try again."""
    assert request.key is not None
    if standing.kept:
        idempotency.finish(connection, request.owner, request.key, answer)
        return
    said = {"turn": answer["said"], "version": stored.version} if "said" in answer else None
    before = IdempotencyRecord(request.digest, request.id, stored.turns_version, said, answer)
    idempotency.begin(connection, request.owner, request.key, before)

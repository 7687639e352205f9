"""HTTP routes of stored conversations; an owner sees only their own conversations."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from convmodel.serving.conversations import export, schemas
from convmodel.serving.conversations.service import Conversations
from convmodel.serving.conversations.turn_plan import TurnRequest
from convmodel.serving.conversations.turns import TurnService
from convmodel.serving.errors import APIError
from convmodel.serving.json_body import json_response
from convmodel.serving.schemas import error_responses, stream_responses
from convmodel.serving.service import Owner
from convmodel.serving.sse import encode_event, respond
from convmodel.serving.store.conversations import CURSOR
from convmodel.serving.store.retention import keep_purging


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Delete expired conversations periodically; at shutdown, stop the replies in progress and store their texts."""
    turns: TurnService | None = app.state.turns
    if turns is None:
        yield
        return
    purging = asyncio.create_task(keep_purging(turns.conversations.store, turns.conversations.service.keep_for))
    try:
        yield
    finally:
        purging.cancel()
        await asyncio.gather(purging, return_exceptions=True)
        await turns.end()


router = APIRouter(prefix="/conversations", tags=["Conversations"], lifespan=_lifespan)


async def _turns(request: Request) -> TurnService:  # a coroutine: FastAPI runs plain functions in a thread
    turns: TurnService | None = request.app.state.turns
    if turns is None:
        raise APIError(404, "this server does not store conversations; use /replies", code="no_conversations")
    return turns


TurnsDep = Annotated[TurnService, Depends(_turns)]


async def _conversations(turns: TurnsDep) -> Conversations:
    return turns.conversations


ConversationsDep = Annotated[Conversations, Depends(_conversations)]
ConversationId = Annotated[str, Path(description="id of the conversation", examples=["q2Vd5JmS0xYJm1l8cGZ3Zw"])]
RequestKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="a repeated request with the same key is executed once",
    ),
]


async def _reply(
    owner: Owner, id: ConversationId, body: schemas.NewReply | None = None, key: RequestKey = None
) -> TurnRequest:
    return TurnRequest(owner, id, "reply", body or schemas.NewReply.model_validate({}), key)


ReplyDep = Annotated[TurnRequest, Depends(_reply)]
READ = error_responses(404, 503)
CHANGE = error_responses(404, 409, 415, 503)
STREAM = """`said` with `{"turn", "version"}` as soon as the user's turn is stored, if the request stores one; `piece`
with `{"text"}`, any number of times; then `reply` with the same object as the JSON response, when it is stored; or
`error`."""
EVENTS = ("said", "piece", "reply", "error")
REPLY = stream_responses(schemas.AnswerBody, STREAM, *EVENTS, statuses=(404, 409))
JSON_LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON Lines, one conversation per line, in the format that the package reads.",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    }
}


@router.post(
    "",
    status_code=201,
    summary="Create a conversation",
    response_model=schemas.ConversationBody,
    responses=error_responses(409, 415, 503),
)
async def create(
    conversations: ConversationsDep, owner: Owner, body: schemas.NewConversation | None = None, key: RequestKey = None
) -> Response:
    """Create a conversation, empty or with given turns.

    A repeated request with the same Idempotency-Key returns the existing conversation.
    """
    created = await conversations.create(owner, body or schemas.NewConversation.model_validate({}), key)
    return json_response(schemas.conversation_json(created), 201)


@router.get("", summary="List conversations", response_model=schemas.ListBody, responses=READ)
async def listing(
    conversations: ConversationsDep,
    owner: Owner,
    limit: Annotated[int, Query(ge=1, le=200, description="conversations per page")] = 50,
    before: Annotated[str | None, Query(pattern=f"^{CURSOR}$", description="`next` of the previous page")] = None,
) -> Response:
    """List your conversations, newest first."""
    page, following = await conversations.listing(owner, limit=limit, before=before)
    return json_response({"conversations": [schemas.summary_json(summary) for summary in page], "next": following})


@router.delete("", status_code=204, summary="Delete all conversations", responses=READ)
async def delete_all(conversations: ConversationsDep, owner: Owner) -> Response:
    """Delete all of your conversations permanently."""
    await conversations.delete_all(owner)
    return Response(status_code=204)


@router.get("/export", summary="Export all conversations", response_class=Response, responses={**READ, **JSON_LINES})
async def export_all(conversations: ConversationsDep, owner: Owner) -> Response:
    """Export your conversations as JSON Lines for training, without blocked exchanges and waiting turns."""
    lines = export.export_all(conversations, owner)
    first = await anext(lines)  # before the response starts, so that an error can still set the status

    async def all_lines() -> AsyncIterator[bytes]:
        yield first
        async for batch in lines:
            yield batch

    return StreamingResponse(all_lines(), media_type="application/x-ndjson", headers=_file("conversations"))


@router.get("/{id}", summary="Read a conversation", response_model=schemas.ConversationBody, responses=READ)
async def read(conversations: ConversationsDep, owner: Owner, id: ConversationId) -> Response:
    """Return a conversation with all of its turns."""
    return json_response(schemas.conversation_json(await conversations.load(owner, id)))


@router.patch("/{id}", summary="Change settings", response_model=schemas.ConversationBody, responses=CHANGE)
async def change(
    conversations: ConversationsDep, owner: Owner, id: ConversationId, body: schemas.ConversationChange
) -> Response:
    """Change title, persona, options and other settings. A reply in progress continues with the old settings."""
    return json_response(schemas.conversation_json(await conversations.change(owner, id, body)))


@router.delete("/{id}", status_code=204, summary="Delete a conversation", responses=READ)
async def delete(conversations: ConversationsDep, owner: Owner, id: ConversationId) -> Response:
    """Delete a conversation permanently; a reply in progress in it is stopped."""
    await conversations.delete(owner, id)
    return Response(status_code=204)


@router.get("/{id}/export", summary="Export a conversation", response_class=Response, responses={**READ, **JSON_LINES})
async def export_one(conversations: ConversationsDep, owner: Owner, id: ConversationId) -> Response:
    """Export a conversation as a JSON line for training; the response is empty if it has no complete exchange."""
    line = export.encode_line(await conversations.load(owner, id, replies=False))
    return Response(line, media_type="application/x-ndjson", headers=_file("conversation"))


@router.post(
    "/{id}/turns",
    summary="Add a turn",
    response_model=schemas.SaidBody,
    responses=stream_responses(schemas.SaidBody, STREAM, *EVENTS, statuses=(404, 409)),
)
async def say(
    turns: TurnsDep, request: Request, owner: Owner, id: ConversationId, body: schemas.NewTurn, key: RequestKey = None
) -> Response:
    """Store the user's turn, then generate the reply.

    The turn is on disk before any part of the reply is sent, and the reply is on disk before the response ends. If
    generation is stopped or the client disconnects, the text generated so far is stored as the reply. If there is no
    text yet, the user's turn stays without a reply, and `reply` can request it again.
    """
    return await _answer(turns, request, TurnRequest(owner, id, "turns", body, key))


@router.post("/{id}/reply", summary="Reply to the waiting turn", response_model=schemas.AnswerBody, responses=REPLY)
async def reply(turns: TurnsDep, request: Request, again: ReplyDep) -> Response:
    """Generate the reply to the last turn, a user's turn that has no reply yet."""
    return await _answer(turns, request, again)


@router.post("/{id}/retry", summary="Replace the last reply", response_model=schemas.AnswerBody, responses=REPLY)
async def retry(turns: TurnsDep, request: Request, again: ReplyDep) -> Response:
    """Generate another reply with another seed. When it is complete, it replaces the last reply."""
    return await _answer(turns, request, replace(again, action="retry"))


@router.post(
    "/{id}/stop", status_code=202, summary="Stop the reply", response_model=schemas.StoppedBody, responses=CHANGE
)
async def stop(conversations: ConversationsDep, owner: Owner, id: ConversationId) -> Response:
    """Stop the reply in progress; the request that started it returns the text generated so far, which is stored."""
    await conversations.stop(owner, id)
    return json_response({"stopped": True}, 202)


@router.post("/{id}/undo", summary="Undo", response_model=schemas.UndoneBody, responses=CHANGE)
async def undo(
    conversations: ConversationsDep, owner: Owner, id: ConversationId, body: schemas.UndoRequest | None = None
) -> Response:
    """Remove the last exchange, or only the user's turn if it has no reply yet."""
    taken, left = await conversations.undo(owner, id, version=None if body is None else body.version)
    turns = [schemas.turn_json(turn) for turn in taken]
    return json_response({"taken": turns, "conversation": schemas.conversation_json(left)})


@router.post(
    "/{id}/choose", summary="Choose another candidate", response_model=schemas.ConversationBody, responses=CHANGE
)
async def choose(
    conversations: ConversationsDep, owner: Owner, id: ConversationId, body: schemas.ChoiceRequest
) -> Response:
    """Replace the last reply by another of its candidates."""
    changed = await conversations.choose(owner, id, body.candidate, version=body.version)
    return json_response(schemas.conversation_json(changed))


async def _answer(turns: TurnService, request: Request, turn_request: TurnRequest) -> Response:
    pending = await turns.begin(turn_request)
    first = b"" if pending.said is None else encode_event("said", pending.said)
    answer = partial(asyncio.shield, pending.answer)  # the reply is stored even if the client disconnects
    pieces = pending.pieces if turn_request.body.stream else None
    return await respond(request, "reply", answer, pending.cancel, pieces=pieces, first=first)


def _file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}.jsonl"'}

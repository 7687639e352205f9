"""The addresses of conversations in, answers out; everybody sees their own alone."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query
from fastapi import Request as HttpRequest
from starlette.responses import Response, StreamingResponse

from convmodel.serving.conversations import schemas
from convmodel.serving.conversations.pending_reply import PendingReply
from convmodel.serving.conversations.persistence import Request
from convmodel.serving.conversations.service import Conversations
from convmodel.serving.conversations.setup import ConversationServices
from convmodel.serving.conversations.turns import TurnService
from convmodel.serving.errors import APIError
from convmodel.serving.routes.replies import error_event
from convmodel.serving.schemas import MAKING, refusals, streamed
from convmodel.serving.service import Owner, Service, TheService
from convmodel.serving.sse import EventStream, cancel_on_disconnect, event, json_response
from convmodel.serving.store.conversations import CURSOR


@contextlib.asynccontextmanager
async def _working(app: FastAPI) -> AsyncIterator[None]:
    kept = app.state.service.conversations
    if not isinstance(kept, ConversationServices):
        yield
        return
    async with kept.working():
        yield


router = APIRouter(prefix="/conversations", tags=["Conversations"], lifespan=_working)


async def _conversations(service: TheService) -> Conversations:
    return _kept(service).conversations


async def _talking(service: TheService) -> TurnService:
    return _kept(service).talking


def _kept(service: Service) -> ConversationServices:
    if not isinstance(service.conversations, ConversationServices):
        raise APIError(404, "this server keeps no conversations; see /replies", code="no_conversations")
    return service.conversations


ConversationsDep = Annotated[Conversations, Depends(_conversations)]
TurnsDep = Annotated[TurnService, Depends(_talking)]
ConversationId = Annotated[str, Path(description="of the conversation", examples=["q2Vd5JmS0xYJm1l8cGZ3Zw"])]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="a request that comes again with the same key is followed once",
    ),
]
KEPT = (404, 503)
CHANGED = (404, 409, 415, 503)
EVENTS = ("said", "piece", "reply", "error")
ANSWERED = """`said` with `{"turn", "version"}` as soon as what was said is stored, where something was; `piece` with
`{"text"}`, any number of times; then `reply` with the same as the JSON, stored, or `error`."""


@router.post(
    "",
    status_code=201,
    summary="Begin a conversation",
    response_model=schemas.ConversationBody,
    responses=refusals(*CHANGED[1:]),
)
async def create(
    here: ConversationsDep, owner: Owner, body: schemas.NewConversation | None = None, key: IdempotencyKey = None
) -> Response:
    """Makes a conversation, empty or with turns that were said elsewhere; with a key that came before, tells of it."""
    made = await here.create(owner, body or schemas.NewConversation.model_validate({}), key)
    return json_response(schemas.conversation_json(made), 201)


@router.get("", summary="List conversations", response_model=schemas.ListBody, responses=refusals(*KEPT))
async def listing(
    here: ConversationsDep,
    owner: Owner,
    limit: Annotated[int, Query(ge=1, le=200, description="conversations on a page")] = 50,
    before: Annotated[str | None, Query(pattern=f"^{CURSOR}$", description="`next` of the page before")] = None,
) -> Response:
    """Your conversations, the youngest first."""
    found, after = await here.listing(owner, limit=limit, before=before)
    return json_response({"conversations": [schemas.listed_json(each) for each in found], "next": after})


@router.delete("", status_code=204, summary="Delete all conversations", responses=refusals(*KEPT))
async def delete_all(here: ConversationsDep, owner: Owner) -> Response:
    """Deletes all of your conversations for good."""
    await here.delete_all(owner)
    return Response(status_code=204)


JSON_LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON Lines, one conversation each, as the package reads them.",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/export",
    summary="Export all conversations",
    response_class=Response,
    responses={**refusals(*KEPT), **JSON_LINES},
)
async def export_all(here: ConversationsDep, owner: Owner) -> Response:
    """Your conversations as JSON Lines that can be trained on: without what was blocked, and what waits for a reply."""
    lines = here.export_all(owner)
    first = await anext(lines)  # what goes wrong at once is told

    async def all_lines() -> AsyncIterator[bytes]:
        yield first
        async for more in lines:
            yield more

    return StreamingResponse(all_lines(), media_type="application/x-ndjson", headers=_file("conversations"))


@router.get("/{id}", summary="Read a conversation", response_model=schemas.ConversationBody, responses=refusals(*KEPT))
async def read(here: ConversationsDep, owner: Owner, id: ConversationId) -> Response:
    """A conversation with all of its turns."""
    return json_response(schemas.conversation_json(await here.load(owner, id)))


@router.patch("/{id}", summary="Change settings", response_model=schemas.ConversationBody, responses=refusals(*CHANGED))
async def change(
    here: ConversationsDep, owner: Owner, id: ConversationId, body: schemas.ConversationChange
) -> Response:
    """Changes title, persona, options and the like. A reply that is being made goes on as it was begun."""
    return json_response(schemas.conversation_json(await here.change(owner, id, body)))


@router.delete("/{id}", status_code=204, summary="Delete a conversation", responses=refusals(*KEPT))
async def delete(here: ConversationsDep, owner: Owner, id: ConversationId) -> Response:
    """Deletes a conversation for good; a reply that is being made in it ends."""
    await here.delete(owner, id)
    return Response(status_code=204)


@router.get(
    "/{id}/export",
    summary="Export a conversation",
    response_class=Response,
    responses={**refusals(*KEPT), **JSON_LINES},
)
async def export(here: ConversationsDep, owner: Owner, id: ConversationId) -> Response:
    """A conversation as a line that can be trained on; nothing when it has no exchange yet."""
    return Response(await here.export(owner, id), media_type="application/x-ndjson", headers=_file("conversation"))


@router.post(
    "/{id}/turns",
    summary="Say something",
    response_model=schemas.SaidBody,
    responses={**refusals(*CHANGED, *MAKING), **streamed(schemas.SaidBody, ANSWERED, *EVENTS)},
)
async def say(
    talks: TurnsDep,
    request: HttpRequest,
    owner: Owner,
    id: ConversationId,
    body: schemas.Say,
    key: IdempotencyKey = None,
) -> Response:
    """Stores what you say, and then has it replied to.

    What was said is on the disk before anything of the reply is sent, and the reply when you have it. When it is
    stopped, or you leave, what was written of it so far is stored; with nothing written the turn waits for its reply.
    """
    return await _answered(talks, request, Request(owner, id, "turns", body, key))


@router.post(
    "/{id}/reply",
    summary="Have the waiting turn replied to",
    response_model=schemas.AnswerBody,
    responses={**refusals(*CHANGED, *MAKING), **streamed(schemas.AnswerBody, ANSWERED, *EVENTS)},
)
async def reply(
    talks: TurnsDep,
    request: HttpRequest,
    owner: Owner,
    id: ConversationId,
    body: schemas.AskReply | None = None,
    key: IdempotencyKey = None,
) -> Response:
    """Makes the reply to a turn that waits for it."""
    return await _answered(
        talks, request, Request(owner, id, "reply", body or schemas.AskReply.model_validate({}), key)
    )


@router.post(
    "/{id}/retry",
    summary="Have the last turn replied to again",
    response_model=schemas.AnswerBody,
    responses={**refusals(*CHANGED, *MAKING), **streamed(schemas.AnswerBody, ANSWERED, *EVENTS)},
)
async def retry(
    talks: TurnsDep,
    request: HttpRequest,
    owner: Owner,
    id: ConversationId,
    body: schemas.AskReply | None = None,
    key: IdempotencyKey = None,
) -> Response:
    """Makes another reply, with another seed, in place of the last one, which stays until the new one is there."""
    return await _answered(
        talks, request, Request(owner, id, "retry", body or schemas.AskReply.model_validate({}), key)
    )


@router.post(
    "/{id}/stop",
    status_code=202,
    summary="Stop the reply",
    response_model=schemas.StoppedBody,
    responses=refusals(*CHANGED),
)
async def stop(here: ConversationsDep, owner: Owner, id: ConversationId) -> Response:
    """Ends the reply that is being made; who asked for it gets what was written so far, which is stored."""
    await here.stop(owner, id)
    return json_response({"stopped": True}, 202)


@router.post("/{id}/undo", summary="Take back", response_model=schemas.UndoneBody, responses=refusals(*CHANGED))
async def undo(here: ConversationsDep, owner: Owner, id: ConversationId, body: schemas.Undo | None = None) -> Response:
    """Takes back the last exchange, or the turn that still waits for its reply."""
    taken, left = await here.undo(owner, id, version=None if body is None else body.version)
    return json_response(
        {"taken": [schemas.turn_json(turn) for turn in taken], "conversation": schemas.conversation_json(left)}
    )


@router.post(
    "/{id}/choose",
    summary="Choose another candidate",
    response_model=schemas.ConversationBody,
    responses=refusals(*CHANGED),
)
async def choose(here: ConversationsDep, owner: Owner, id: ConversationId, body: schemas.Choose) -> Response:
    """Makes another candidate of the last reply what was said."""
    chosen = await here.choose(owner, id, body.candidate, version=body.version)
    return json_response(schemas.conversation_json(chosen))


async def _answered(talks: TurnService, request: HttpRequest, asked: Request) -> Response:
    exchange = await talks.begin(asked)
    service: Service = request.app.state.service
    if asked.ask.stream:
        return EventStream(_events(exchange, service), keep_alive=service.settings.keep_alive)
    return json_response(await cancel_on_disconnect(request, exchange.answer(), exchange.stop))


async def _events(exchange: PendingReply, service: Service) -> AsyncGenerator[bytes, None]:
    try:
        if exchange.said is not None:
            yield event("said", exchange.said)
        async for piece in exchange.pieces():
            yield event("piece", {"text": piece})
        yield event("reply", await exchange.answer())
    except APIError as refusal:
        yield error_event(refusal, service)
    finally:
        exchange.stop()


def _file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}.jsonl"'}

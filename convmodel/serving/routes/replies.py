"""`POST /replies`: reply to a context without storing it; `POST /candidates`: search candidates for the reply."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field, WithJsonSchema
from starlette.responses import Response

from convmodel.serving import schemas
from convmodel.serving.errors import APIError
from convmodel.serving.json_body import json_response
from convmodel.serving.reply_jobs import ReplyRequest, stream_text
from convmodel.serving.request_options import (
    check_count,
    check_persona,
    check_turns,
    resolve_options,
    split_group,
)
from convmodel.serving.service import Owner, TheService, require_replies
from convmodel.serving.sse import cancel_on_disconnect, respond

router = APIRouter(tags=["Replies"])


SpokenTurn = Annotated[str | None, WithJsonSchema({"type": "string", "minLength": 1, "pattern": r"\S"})]
"""A turn. An empty or null turn of the replying side is left out, although the JSON schema does not allow it."""


class ReplyRequestBody(schemas.RequestModel):
    """A context to reply to, and the parameters of the reply."""

    model_config = schemas.example(context=["Hello!", "Hi, how are you?", "Fine. Do you have any pets?"], seed=1)

    context: Annotated[
        list[SpokenTurn],
        Field(
            min_length=1,
            description="the turns so far, oldest first; the reply follows the last one; empty replies are left out",
        ),
    ]
    speakers: list[schemas.Text] | None = Field(
        None, description="the name of the speaker of each turn, in a conversation of several people"
    )
    speaker: schemas.Text | None = Field(
        None, description="name of the replying speaker; required if `speakers` has more than two different names"
    )
    model: str | None = Field(None, description="name of a model in /v1/models; null uses the server's own model")
    persona: list[schemas.Text] | None = Field(
        None, description="sentences about the replying speaker; each line is a sentence"
    )
    preset: str | None = Field(None, description="name of a preset, see /about; null uses the server's default preset")
    options: schemas.Options | None = Field(None, description="options that override the preset")
    seed: schemas.Seed | None = Field(None, description="reproduces the reply with the same request")
    stream: bool = Field(False, description="whether to stream the reply as text/event-stream")


@router.post(
    "/replies",
    summary="Reply to a context",
    response_model=schemas.ReplyBody,
    responses=schemas.stream_responses(
        schemas.ReplyBody,
        '`piece` with `{"text"}`, any number of times; then `reply` with the same body as the JSON, or `error`.',
        *("piece", "reply", "error"),
    ),
)
async def reply(body: ReplyRequestBody, request: Request, service: TheService, owner: Owner) -> Response:
    """Reply to a context. The server stores nothing; the client keeps the conversation.

    With `stream` the response is a stream of events: `piece` with `{"text"}`, any number of times, then `reply` with
    the complete reply, or `error`. The reply is cancelled when the client disconnects.
    """
    require_replies(service)
    service = service.named(body.model)
    replies = require_replies(service)
    check_turns(service, [text or "" for text in body.context])
    sentences = service.persona if body.persona is None else body.persona
    context, persona, names = split_group(body.context, sentences, body.speakers, body.speaker)
    check_persona(service, persona)
    options = resolve_options(service, body.preset, None if body.options is None else body.options.given())
    reply_request = ReplyRequest(context, persona, options, body.seed, names=names)
    [job] = await replies.start([reply_request], owner=owner, pieces=body.stream)

    async def result() -> schemas.ReplyBody:
        return schemas.ReplyBody.of(await job.result())

    return await respond(request, "reply", result, job.cancel, pieces=stream_text(job) if body.stream else None)


class SearchRequest(schemas.RequestModel):
    """A context for whose reply candidates are searched."""

    model_config = schemas.example(context=["Do you have any pets?"], k=3)

    context: Annotated[list[schemas.Text], Field(min_length=1, description="the turns so far, oldest first")]
    k: Annotated[int, Field(ge=1, le=1000)] = Field(10, description="maximum number of candidates to return")


class CandidatesBody(schemas.ResponseModel):
    """The best candidates for a reply."""

    candidates: list[schemas.CandidateBody] = Field(description="best first")


@router.post(
    "/candidates",
    summary="Search candidates",
    response_model=CandidatesBody,
    responses=schemas.error_responses(400, 404, *schemas.JOB_STATUSES),
)
async def search(body: SearchRequest, request: Request, service: TheService, owner: Owner) -> Response:
    """Return the best candidates for the reply to a context. 404 on a server without candidates."""
    if service.replies is None or not service.searches:
        raise APIError(404, "this server has no candidates to choose from; see /about", code="no_candidates")
    check_turns(service, body.context)
    k = body.k if "k" in body.model_fields_set else min(body.k, service.settings.k)
    check_count("k", k, service.settings.k)
    searching = service.replies.search(body.context, k, owner=owner)
    candidates = await cancel_on_disconnect(request, searching, lambda: None)
    return json_response(CandidatesBody.model_validate({"candidates": candidates}))

"""`POST /replies`: reply to a context that the client keeps, as JSON or as a stream."""

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from convmodel.serving.errors import APIError
from convmodel.serving.reply_jobs import CheckedReply, stream_text
from convmodel.serving.request_options import build_reply_request
from convmodel.serving.schemas import (
    JOB_STATUSES,
    Options,
    ReplyBody,
    RequestModel,
    Seed,
    Text,
    error_responses,
    stream_responses,
)
from convmodel.serving.service import Owner, Service, TheService
from convmodel.serving.sse import EventStream, cancel_on_disconnect, encode_event, json_response
from convmodel.serving.thread_bridge import AsyncJob

router = APIRouter(tags=["Replies"])


class ReplyRequestBody(RequestModel):
    """A context to reply to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"context": ["Hello!", "Hi, how are you?", "Fine. Do you have any pets?"], "seed": 1}]
        }
    )

    context: Annotated[
        list[Text], Field(min_length=1, description="the turns so far, oldest first; the reply follows the last one")
    ]
    persona: list[Text] | None = Field(None, description="sentences about the speaker of the reply")
    preset: str | None = Field(None, description="a set of options, see /about; null means the server's default")
    options: Options | None = Field(None, description="options on top of the preset")
    seed: Seed | None = Field(None, description="reproduces the reply with the same request")
    stream: bool = Field(False, description="whether to stream the reply as text/event-stream")


@router.post(
    "/replies",
    summary="Reply to a context",
    response_model=ReplyBody,
    responses={
        **error_responses(400, 404, *JOB_STATUSES),
        **stream_responses(
            ReplyBody,
            '`piece` with `{"text"}`, any number of times; then `reply` with the same body as the JSON, or `error`.',
            *("piece", "reply", "error"),
        ),
    },
)
async def reply(body: ReplyRequestBody, request: Request, service: TheService, owner: Owner) -> Response:
    """Reply to a context that the client keeps. Nothing is stored.

    With `stream` the response is a stream of events: `piece` with `{"text"}`, any number of times, then `reply` with
    the complete reply, or `error`. The reply is cancelled when the client disconnects.
    """
    if service.replies is None:
        raise no_replies()
    reply_request = build_reply_request(
        service,
        context=body.context,
        persona=body.persona,
        preset=body.preset,
        options=None if body.options is None else body.options.given(),
        seed=body.seed,
    )
    job = await service.replies.start(reply_request, owner=owner, pieces=body.stream)
    if body.stream:
        return EventStream(_events(job, service), keep_alive=service.settings.keep_alive)
    return json_response(ReplyBody.of(await cancel_on_disconnect(request, job.result(), job.cancel)))


async def _events(job: AsyncJob[CheckedReply], service: Service) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in stream_text(job):
            yield encode_event("piece", {"text": piece})
        yield encode_event("reply", ReplyBody.of(await job.result()))
    except APIError as error:
        yield error_event(error, service)
    finally:
        job.cancel()


def error_event(error: APIError, service: Service) -> bytes:
    """Count an error that ends a stream, and return its event."""
    service.metrics.count_error(error.code or "other")
    return encode_event("error", error.body())


def no_replies() -> APIError:
    """Return the error for a server that only writes documents."""
    return APIError(404, "this server writes documents and does not reply; see /documents", code="no_replies")

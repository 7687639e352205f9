"""A whole context in, a reply to it out, at once or piece by piece; nothing of it is kept."""

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from convmodel.serving.errors import APIError
from convmodel.serving.reply_jobs import ReplyJob
from convmodel.serving.request_options import build_reply_request
from convmodel.serving.schemas import MAKING, Options, ReplyBody, RequestModel, Seed, Text, refusals, streamed
from convmodel.serving.service import Owner, Service, TheService
from convmodel.serving.sse import EventStream, cancel_on_disconnect, event, json_response

router = APIRouter(tags=["Replies"])


class ReplyRequestBody(RequestModel):
    """What is to be replied to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"context": ["Hello!", "Hi, how are you?", "Fine. Do you have any pets?"], "seed": 1}]
        }
    )

    context: Annotated[
        list[Text], Field(min_length=1, description="the turns so far, oldest first; the reply follows the last")
    ]
    persona: list[Text] | None = Field(None, description="sentences about the one who replies")
    preset: str | None = Field(None, description="a set of options, see /about; null is the server's usual one")
    options: Options | None = Field(None, description="on top of the preset")
    seed: Seed | None = Field(None, description="the same request with the same seed gives the same reply")
    stream: bool = Field(False, description="whether the reply comes piece by piece, as text/event-stream")


@router.post(
    "/replies",
    summary="Reply to a context",
    response_model=ReplyBody,
    responses={
        **refusals(400, 404, *MAKING),
        **streamed(
            ReplyBody,
            '`piece` with `{"text"}`, any number of times; then `reply` with the same as the JSON, or `error`.',
            *("piece", "reply", "error"),
        ),
    },
)
async def reply(body: ReplyRequestBody, request: Request, service: TheService, owner: Owner) -> Response:
    """Replies to a context that the client keeps. Nothing is stored.

    With `stream` the answer is a stream of events: `piece` with `{"text"}`, again and again, then `reply` with the
    whole reply, or `error`. A client that leaves ends the reply.
    """
    if service.replies is None:
        raise no_replies()
    what = build_reply_request(
        service,
        context=body.context,
        persona=body.persona,
        preset=body.preset,
        options=None if body.options is None else body.options.given(),
        seed=body.seed,
    )
    making = await service.replies.begin(what, owner=owner, pieces=body.stream)
    if body.stream:
        return EventStream(_events(making, service), keep_alive=service.settings.keep_alive)
    return json_response(ReplyBody.of(await cancel_on_disconnect(request, making.answer(), making.stop)))


async def _events(making: ReplyJob, service: Service) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in making:
            yield event("piece", {"text": piece})
        yield event("reply", ReplyBody.of(await making.answer()))
    except APIError as refusal:
        yield error_event(refusal, service)
    finally:
        making.stop()


def error_event(refusal: APIError, service: Service) -> bytes:
    """What ends a stream of ours that could not be finished."""
    service.metrics.refused(refusal.code or "other")
    return event("error", refusal.body())


def no_replies() -> APIError:
    """Where nothing replies."""
    return APIError(404, "this server writes documents and does not reply; see /documents", code="no_replies")

"""`POST /v1/messages`: replies in Anthropic's format, as JSON or as a stream; and counting of a request's tokens."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from convmodel.responders.protocol import ContextCounter
from convmodel.serving.anthropic import schemas
from convmodel.serving.errors import APIError
from convmodel.serving.ignored_fields import report_fields
from convmodel.serving.json_body import json_response
from convmodel.serving.openai.schemas import ChatRequest
from convmodel.serving.openai.translate import convert_finish_reason, convert_request, start_replies
from convmodel.serving.reply_jobs import CheckedReply, stream_text
from convmodel.serving.schemas import error_responses, stream_responses
from convmodel.serving.service import Owner, Service, TheService, require_replies
from convmodel.serving.sse import cancel_on_disconnect, encode_event, stream_response
from convmodel.serving.thread_bridge import AsyncJob

router = APIRouter(prefix="/v1", tags=["Anthropic"])

STOP_REASONS: dict[str, schemas.StopReason] = dict(stop="end_turn", length="max_tokens", content_filter="refusal")

SAME_FIELDS = ("model", "max_tokens", "temperature", "top_k", "top_p", "seed", "preset", "options")
"""Fields that have the same meaning in OpenAI's chat completions."""

NO_END = {"stop_reason": None, "stop_sequence": None}

NO_USAGE = schemas.MessageUsage(input_tokens=0, cache_read_input_tokens=0, output_tokens=0)
"""The token counts in the first event of a stream, before the real ones are known."""

EVENTS = (
    *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
    *("message_delta", "message_stop", "error"),
)


@router.post(
    "/messages",
    summary="Create a message",
    response_model=schemas.MessageBody,
    responses=stream_responses(
        schemas.MessageBody,
        "Anthropic's events; the token counts of the context come with `message_delta`.",
        *EVENTS,
        error=schemas.MessagesErrorBody,
    ),
)
async def create(body: schemas.MessagesRequest, request: Request, service: TheService, owner: Owner) -> Response:
    """Reply to messages, like Anthropic's messages API.

    Fields without effect are ignored and named in the response header `X-Convmodel-Ignored`.
    """
    require_replies(service)
    report = report_fields(request, body)
    service = service.named(body.model)
    requests = convert_request(service, to_chat_request(body), draw=secrets.randbelow, report=report)
    user = None if body.metadata is None else body.metadata.user_id
    [job] = await start_replies(service, requests, report=report, owner=owner, user=user, pieces=bool(body.stream))
    reply = MessageReply(service, body, job)
    if body.stream:
        path = request.url.path  # selects Anthropic's format for the error event of a stream that fails
        return stream_response(
            service, reply.events(), job.cancel, lambda error: encode_event("error", error.body(path))
        )
    return json_response(await cancel_on_disconnect(request, reply.result(), job.cancel))


@router.post(
    "/messages/count_tokens",
    summary="Count the tokens of messages",
    response_model=schemas.CountBody,
    responses=error_responses(400, 404, 415, model=schemas.MessagesErrorBody),
)
async def count_tokens(body: schemas.CountRequest, request: Request, service: TheService) -> Response:
    """Return the number of tokens of messages, including turns that a reply would drop.

    404 on a server that only selects replies.
    """
    require_replies(service)
    report = report_fields(request, body)
    service = service.named(body.model)
    counter = require_replies(service).responder
    [converted] = convert_request(service, to_chat_request(body), draw=secrets.randbelow, report=report)
    if not isinstance(counter, ContextCounter):
        raise APIError(404, "no model counts tokens here; start the server with --model", code="no_tokens")
    try:
        count = await asyncio.to_thread(counter.count_tokens, converted.context, converted.persona)
    except ValueError as error:
        raise APIError(400, str(error), code="invalid_value") from None
    return json_response(schemas.CountBody(input_tokens=count))


def to_chat_request(body: schemas.CountRequest) -> ChatRequest:
    """Convert a validated request to a request for OpenAI's chat completions."""
    same = {name: getattr(body, name, None) for name in SAME_FIELDS}
    stop = getattr(body, "stop_sequences", None)
    return ChatRequest.model_construct(**same, messages=body.chat_messages(), stop=stop)


class MessageReply:
    """Conversion of a reply in progress to Anthropic's response body or events."""

    def __init__(self, service: Service, body: schemas.MessagesRequest, job: AsyncJob[CheckedReply]) -> None:
        self._job = job
        self._stop_sequences = [*filter(None, body.stop_sequences or ())]
        self._head: dict[str, Any] = {"id": f"msg_{secrets.token_hex(12)}", "model": service.model}

    async def result(self) -> schemas.MessageBody:
        """Wait for the reply and return the response body."""
        reply = await self._job.result()
        return self._message([schemas.TextContent(text=reply.text)], usage=usage_of(reply), **self._end(reply))

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Yield the encoded events of the stream."""
        yield _event("message_start", message=self._message([], usage=NO_USAGE, **NO_END).model_dump())
        yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        async for piece in stream_text(self._job):
            yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
        reply = await self._job.result()
        end = self._end(reply)
        yield _event("content_block_stop", index=0)
        yield _event("message_delta", delta=end, usage=usage_of(reply).model_dump())
        yield _event("message_stop")

    def _message(self, content: list[schemas.TextContent], **fields: Any) -> schemas.MessageBody:
        return schemas.MessageBody.model_validate({**self._head, "content": content, **fields})

    def _end(self, reply: CheckedReply) -> dict[str, Any]:
        """Return the stop fields of a reply.

        The responder does not report the stop sequence that ended a reply, so that `stop_sequence` is set only if the
        request has a single one.
        """
        if reply.finish == "stop" and self._stop_sequences:
            sequence = self._stop_sequences[0] if len(self._stop_sequences) == 1 else None
            return {"stop_reason": "stop_sequence", "stop_sequence": sequence}
        return {**NO_END, "stop_reason": STOP_REASONS[convert_finish_reason(reply)]}


def usage_of(reply: CheckedReply) -> schemas.MessageUsage:
    """Return the token counts of a reply; Anthropic's `input_tokens` exclude the tokens read from the cache."""
    read, written, cached = reply.counts
    return schemas.MessageUsage(input_tokens=read - cached, cache_read_input_tokens=cached, output_tokens=written)


def _event(name: str, **fields: Any) -> bytes:
    return encode_event(name, {"type": name, **fields})

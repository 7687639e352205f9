"""Routes of OpenAI's API: chat completions, as JSON and as a stream, and the list of models."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from convmodel.serving.errors import APIError
from convmodel.serving.ignored_fields import ignored_fields, report_ignored
from convmodel.serving.json_body import json_response
from convmodel.serving.openai.schemas import (
    ChatRequest,
    Choice,
    Completion,
    ModelBody,
    ModelsBody,
)
from convmodel.serving.openai.translate import (
    build_extras,
    build_message,
    build_usage,
    check_model,
    convert_finish_reason,
    convert_request,
    start_replies,
)
from convmodel.serving.reply_jobs import CheckedReply, CheckedTextT, stream_text
from convmodel.serving.routes.replies import no_replies
from convmodel.serving.schemas import JOB_STATUSES, error_responses, stream_responses
from convmodel.serving.service import Owner, Service, TheService
from convmodel.serving.sse import DONE, cancel_on_disconnect, encode_data, stream_response
from convmodel.serving.thread_bridge import AsyncJob

router = APIRouter(prefix="/v1", tags=["OpenAI"])


@router.post(
    "/chat/completions",
    summary="Create a chat completion",
    response_model=Completion,
    responses={
        **error_responses(400, 404, *JOB_STATUSES),
        **stream_responses(
            Completion, "`data: {chunk}`, with the role first and `finish_reason` last, then `data: [DONE]`."
        ),
    },
)
async def complete(body: ChatRequest, request: Request, service: TheService, owner: Owner) -> Response:
    """Reply as OpenAI's chat completions do.

    Fields that change nothing are ignored and named in `X-Convmodel-Ignored`. Those that ask for something that this
    server cannot do are rejected with `unsupported_parameter`.
    """
    if service.replies is None:
        raise no_replies()
    report = partial(report_ignored, request)
    report(ignored_fields(body))
    requests = convert_request(service, body, draw=secrets.randbelow, report=report)
    pieces = bool(body.stream)
    jobs = await start_replies(service, requests, report=report, owner=owner, user=body.user, pieces=pieces)
    completion = ChatCompletion(service, body, jobs)
    if body.stream:
        return stream_response(service, completion.events(), completion.cancel, encode_error)
    return json_response(await cancel_on_disconnect(request, completion.result(), completion.cancel))


@router.get("/models", summary="List models", response_model=ModelsBody, responses=error_responses())
async def models(service: TheService) -> Response:
    """Return the list of models, which has one entry."""
    return json_response(ModelsBody(data=[_model(service)]))


@router.get("/models/{model:path}", summary="Get a model", response_model=ModelBody, responses=error_responses(404))
async def one_model(model: str, service: TheService) -> Response:
    """Return the model of this name."""
    check_model(service, model)
    return json_response(_model(service))


def _model(service: Service) -> ModelBody:
    return ModelBody(id=service.model, created=service.created)


class ChatCompletion:
    """The choices of one request, while they are generated; a job for each."""

    def __init__(self, service: Service, body: ChatRequest, jobs: Sequence[AsyncJob[CheckedReply]]) -> None:
        self._jobs = jobs
        self._include_usage = bool(body.stream_options and body.stream_options.include_usage)
        self._head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": service.model}

    def cancel(self) -> None:
        """Cancel all choices."""
        for job in self._jobs:
            job.cancel()

    async def result(self) -> Completion:
        """Wait for all choices and return the response body."""
        replies = [await job.result() for job in self._jobs]
        choices = [
            Choice(
                index=index,
                message=build_message(reply),
                finish_reason=convert_finish_reason(reply),
                convmodel=build_extras(reply),
            )
            for index, reply in enumerate(replies)
        ]
        return Completion.model_validate({**self._head, "choices": choices, "usage": build_usage(replies)})

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Yield the encoded chunks of the stream."""
        for index in range(len(self._jobs)):
            yield self._chunk(index, {"role": "assistant", "content": "", "refusal": None})
        replies: dict[int, CheckedReply] = {}
        async with contextlib.aclosing(merge(self._jobs)) as items:
            async for index, item in items:
                if isinstance(item, str):
                    yield self._chunk(index, {"content": item})
                else:
                    replies[index] = item
                    reasoning = item.reply.reasoning
                    yield self._chunk(index, {"reasoning_content": reasoning} if reasoning else {}, item)
        if self._include_usage:
            usage = build_usage(replies[index] for index in sorted(replies))
            yield self._encode([], usage.model_dump())
        yield DONE

    def _chunk(self, index: int, delta: dict[str, Any], reply: CheckedReply | None = None) -> bytes:
        """Return the chunk of a piece, or of the end of a choice if `reply` is given."""
        choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        if reply is not None:
            choice |= {"finish_reason": convert_finish_reason(reply), "convmodel": build_extras(reply).model_dump()}
        return self._encode([choice])

    def _encode(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": choices}
        return encode_data({**chunk, "usage": usage} if self._include_usage else chunk)


def encode_error(error: APIError) -> bytes:
    """Return the last event of a stream that fails."""
    return encode_data(error.body())


async def merge(jobs: Sequence[AsyncJob[CheckedTextT]]) -> AsyncGenerator[tuple[int, str | CheckedTextT], None]:
    """Yield the pieces of all jobs as they arrive, with the job's index, and the result at the end of each job."""
    queue: asyncio.Queue[tuple[int, str | CheckedTextT | Exception]] = asyncio.Queue()

    async def read(index: int, job: AsyncJob[CheckedTextT]) -> None:
        try:
            async for piece in stream_text(job):
                queue.put_nowait((index, piece))
            queue.put_nowait((index, await job.result()))
        except Exception as error:
            queue.put_nowait((index, error))

    readers = [asyncio.ensure_future(read(index, job)) for index, job in enumerate(jobs)]
    try:
        running = len(readers)
        while running:
            index, received = await queue.get()
            if isinstance(received, Exception):
                raise received
            running -= not isinstance(received, str)
            yield index, received
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

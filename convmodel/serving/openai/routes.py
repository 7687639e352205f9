"""Routes of OpenAI's API: chat completions, as JSON or as a stream, and the list of models."""

import asyncio
import contextlib
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, ClassVar, Generic

from fastapi import APIRouter, Request
from starlette.responses import Response

from convmodel.serving.ignored_fields import report_fields
from convmodel.serving.json_body import json_response
from convmodel.serving.openai import schemas
from convmodel.serving.openai.translate import (
    build_extras,
    build_message,
    build_usage,
    convert_finish_reason,
    convert_request,
    start_replies,
)
from convmodel.serving.reply_jobs import CheckedReply, CheckedTextT, stream_text
from convmodel.serving.schemas import ResponseModel, error_responses, stream_responses
from convmodel.serving.service import Owner, Service, TheService, require_replies
from convmodel.serving.sse import DONE, cancel_on_disconnect, encode_data, stream_response
from convmodel.serving.thread_bridge import AsyncJob

router = APIRouter(prefix="/v1", tags=["OpenAI"])


@router.post(
    "/chat/completions",
    summary="Create a chat completion",
    response_model=schemas.Completion,
    responses=stream_responses(
        schemas.Completion, "`data: {chunk}`, with the role first and `finish_reason` last, then `data: [DONE]`."
    ),
)
async def complete(body: schemas.ChatRequest, request: Request, service: TheService, owner: Owner) -> Response:
    """Reply to messages, like OpenAI's chat completions API.

    Fields without effect are ignored and named in the response header `X-Convmodel-Ignored`. Fields that request an
    unsupported feature are rejected with the code `unsupported_parameter`.
    """
    require_replies(service)
    report = report_fields(request, body)
    service = service.named(body.model)
    requests = convert_request(service, body, draw=secrets.randbelow, report=report)
    others: dict[str, Any] = {"owner": owner, "user": body.user, "pieces": bool(body.stream)}
    jobs = await start_replies(service, requests, report=report, **others)
    return await ChatStream(service, body, jobs).respond(request)


@router.get("/models", summary="List models", response_model=schemas.ModelsBody, responses=error_responses())
async def models(service: TheService) -> Response:
    """Return the list of models: the server's own model, and each adapter of this model."""
    return json_response(schemas.ModelsBody(data=[_model(each) for each in service.models.values()]))


@router.get(
    "/models/{model:path}", summary="Get a model", response_model=schemas.ModelBody, responses=error_responses(404)
)
async def one_model(model: str, service: TheService) -> Response:
    """Return the description of a model. 404 for an unknown name."""
    return json_response(_model(service.named(model)))


def _model(service: Service) -> schemas.ModelBody:
    length = service.context_length
    return schemas.ModelBody(
        id=service.model,
        created=service.created,
        root=service.model,
        parent=service.parent,
        context_length=length,
        max_model_len=length,
    )


class ChoiceStream(ABC, Generic[CheckedTextT]):
    """Conversion of the jobs of a request, one per choice, to OpenAI's response body or stream of chunks.

    Attributes:
        prefix: beginning of the response's id.
        chunk_object: value of `object` in a chunk of the stream.
        body_class: class of the response body.
    """

    prefix: ClassVar[str]
    chunk_object: ClassVar[str]
    body_class: ClassVar[type[ResponseModel]]

    def __init__(self, service: Service, body: schemas.DecodingFields, jobs: Sequence[AsyncJob[CheckedTextT]]) -> None:
        self._service = service
        self._stream = bool(body.stream)
        self._jobs = jobs
        self._n = body.n or 1
        self._include_usage = bool(body.stream_options and body.stream_options.include_usage)
        id = f"{self.prefix}-{secrets.token_hex(12)}"
        self._head = {"id": id, "created": int(time.time()), "model": service.model}

    async def respond(self, request: Request) -> Response:
        """Return the response, as JSON or as a stream."""
        if self._stream:
            return stream_response(self._service, self._events(), self._cancel, lambda error: encode_data(error.body()))
        return json_response(await cancel_on_disconnect(request, self._result(), self._cancel))

    def _cancel(self) -> None:
        for job in self._jobs:
            job.cancel()

    async def _result(self) -> ResponseModel:
        texts = [await job.result() for job in self._jobs]
        choices = [self._choice(index, text) for index, text in enumerate(texts)]
        usage = build_usage(texts, self._n)
        return self.body_class.model_validate({**self._head, "choices": choices, "usage": usage})

    async def _events(self) -> AsyncGenerator[bytes, None]:
        """Yield the encoded chunks of the stream, and the final `[DONE]`."""
        for choice in self._first_deltas():
            yield self._encode([choice])
        texts: dict[int, CheckedTextT] = {}
        async with contextlib.aclosing(merge(self._jobs)) as items:
            async for index, item in items:
                if not isinstance(item, str):
                    texts[index] = item
                yield self._encode([self._delta(index, item)])
        if self._include_usage:
            usage = build_usage((texts[index] for index in sorted(texts)), self._n)
            yield self._encode([], usage.model_dump())
        yield DONE

    def _encode(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        chunk = {**self._head, "object": self.chunk_object, "choices": choices}
        return encode_data({**chunk, "usage": usage} if self._include_usage else chunk)

    @abstractmethod
    def _choice(self, index: int, text: CheckedTextT) -> ResponseModel:
        """Return a choice of the response body for a finished text."""

    @abstractmethod
    def _first_deltas(self) -> Iterable[dict[str, Any]]:
        """Return the choices of the chunks that are sent before any generated text, such as the role."""

    @abstractmethod
    def _delta(self, index: int, item: str | CheckedTextT) -> dict[str, Any]:
        """Return the choice of a chunk: of a piece of text (a string), or of the end of a finished text."""


class ChatStream(ChoiceStream[CheckedReply]):
    """The replies of a chat completion."""

    prefix = "chatcmpl"
    chunk_object = "chat.completion.chunk"
    body_class = schemas.Completion

    def _choice(self, index: int, text: CheckedReply) -> schemas.Choice:
        finish_reason = convert_finish_reason(text)
        message = build_message(text)
        return schemas.Choice(index=index, message=message, finish_reason=finish_reason, convmodel=build_extras(text))

    def _first_deltas(self) -> Iterable[dict[str, Any]]:
        delta = {"role": "assistant", "content": "", "refusal": None}
        return [{**self._delta(index, ""), "delta": delta} for index in range(len(self._jobs))]

    def _delta(self, index: int, item: str | CheckedReply) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": index, "delta": {}, "logprobs": None, "finish_reason": None}
        if isinstance(item, str):
            return choice | {"delta": {"content": item}}
        if item.reply.reasoning:
            choice["delta"] = {"reasoning_content": item.reply.reasoning}
        return choice | {"finish_reason": convert_finish_reason(item), "convmodel": build_extras(item).model_dump()}


async def merge(jobs: Sequence[AsyncJob[CheckedTextT]]) -> AsyncGenerator[tuple[int, str | CheckedTextT], None]:
    """Yield (index of the job, piece of its text) for all jobs as pieces arrive, and (index, result) when a job ends.

    Raises the first error of a job.
    """
    if len(jobs) == 1:  # without further tasks, each of which would delay every piece
        async for piece in stream_text(jobs[0]):
            yield 0, piece
        yield 0, await jobs[0].result()
        return
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

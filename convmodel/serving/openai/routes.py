"""OpenAI's addresses: chat completions, at once and as a stream, and the one model that there is."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from convmodel.serving.errors import APIError
from convmodel.serving.openai.schemas import (
    ChatRequest,
    Choice,
    ChoiceMessage,
    Completion,
    ModelBody,
    ModelsBody,
)
from convmodel.serving.openai.translate import check_model, extras, finish_reason, requests, usage
from convmodel.serving.reply_jobs import CheckedReply, ReplyJob
from convmodel.serving.routes.replies import no_replies
from convmodel.serving.schemas import MAKING, refusals, streamed
from convmodel.serving.service import Owner, Service, TheService
from convmodel.serving.sse import DONE, EventStream, cancel_on_disconnect, data, json_response

router = APIRouter(prefix="/v1", tags=["OpenAI"])


@router.post(
    "/chat/completions",
    summary="Chat as with OpenAI",
    response_model=Completion,
    responses={
        **refusals(400, 404, *MAKING),
        **streamed(Completion, "`data: {chunk}`, with the role first and `finish_reason` last, then `data: [DONE]`."),
    },
)
async def complete(body: ChatRequest, request: Request, service: TheService, owner: Owner) -> Response:
    """Replies as OpenAI's chat completions do. What is not honoured is refused with `unsupported_parameter`."""
    if service.replies is None:
        raise no_replies()
    if body.stream_options is not None and not body.stream:
        raise APIError(400, "stream_options goes with stream", param="stream_options", code="invalid_value")
    several = requests(service, body, draw=secrets.randbelow)
    makings = await service.replies.begin_several(several, owner=owner, user=body.user, pieces=bool(body.stream))
    chat = Chat(service, body, makings)
    if body.stream:
        return EventStream(chat.events(), keep_alive=service.settings.keep_alive)
    return json_response(await cancel_on_disconnect(request, chat.completion(), chat.stop))


@router.get("/models", summary="The model that there is", response_model=ModelsBody, responses=refusals())
async def models(service: TheService) -> Response:
    """One: the one that is served."""
    return json_response(ModelsBody(data=[_model(service)]))


@router.get("/models/{model:path}", summary="One model", response_model=ModelBody, responses=refusals(404))
async def one_model(model: str, service: TheService) -> Response:
    """The model of a name."""
    check_model(service, model)
    return json_response(_model(service))


def _model(service: Service) -> ModelBody:
    return ModelBody(id=service.model, created=service.created)


class Chat:
    """One request's choices while they are being made.

    Args:
        service: makes them.
        body: of the request.
        makings: one for each choice.
    """

    def __init__(self, service: Service, body: ChatRequest, makings: Sequence[ReplyJob]) -> None:
        self._service, self._makings = service, makings
        self._usage = bool(body.stream_options and body.stream_options.include_usage)
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": service.model,
        }

    def stop(self) -> None:
        """Ends all of them."""
        for making in self._makings:
            making.stop()

    async def completion(self) -> Completion:
        """The whole, when all are over."""
        answers = [await making.answer() for making in self._makings]
        return Completion(
            id=self._head["id"],
            created=self._head["created"],
            model=self._service.model,
            choices=[_choice(index, answer) for index, answer in enumerate(answers)],
            usage=usage(answers),
        )

    async def events(self) -> AsyncGenerator[bytes, None]:
        """The chunks of a stream."""
        try:
            for index in range(len(self._makings)):
                yield self._chunk(index, {"role": "assistant", "content": "", "refusal": None})
            answers: dict[int, CheckedReply] = {}
            async with contextlib.aclosing(_together(self._makings)) as coming:
                async for index, came in coming:
                    if isinstance(came, str):
                        yield self._chunk(index, {"content": came})
                    else:
                        answers[index] = came
                        yield self._chunk(index, {}, came)
            if self._usage:
                total = usage(answers[index] for index in sorted(answers))
                yield data({**self._head, "choices": [], "usage": total.model_dump()})
            yield DONE
        except APIError as refusal:
            self._service.metrics.refused(refusal.code or "other")
            yield data(refusal.body())
        finally:
            self.stop()

    def _chunk(self, index: int, delta: dict[str, Any], over: CheckedReply | None = None) -> bytes:
        choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        if over is not None:
            choice |= {"finish_reason": finish_reason(over), "convmodel": extras(over).model_dump()}
        chunk: dict[str, Any] = {**self._head, "choices": [choice]}
        return data({**chunk, "usage": None} if self._usage else chunk)


def _choice(index: int, answer: CheckedReply) -> Choice:
    return Choice(
        index=index,
        message=ChoiceMessage(content=answer.text),
        finish_reason=finish_reason(answer),
        convmodel=extras(answer),
    )


async def _together(makings: Sequence[ReplyJob]) -> AsyncGenerator[tuple[int, str | CheckedReply], None]:
    """Pieces of several replies as they come, each reply's own in their order, and in its end the answer."""
    if len(makings) == 1:
        async for each in _pieces(makings[0]):
            yield 0, each
        return
    came: asyncio.Queue[tuple[int, str | CheckedReply | BaseException | None]] = asyncio.Queue()

    async def read(index: int, making: ReplyJob) -> None:
        try:
            async for each in _pieces(making):
                came.put_nowait((index, each))
            came.put_nowait((index, None))
        except Exception as error:
            came.put_nowait((index, error))

    readers = [asyncio.ensure_future(read(index, making)) for index, making in enumerate(makings)]
    try:
        left = len(readers)
        while left:
            index, what = await came.get()
            if isinstance(what, BaseException):
                raise what
            if what is None:
                left -= 1
            else:
                yield index, what
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def _pieces(making: ReplyJob) -> AsyncIterator[str | CheckedReply]:
    async for piece in making:
        yield piece
    yield await making.answer()

"""`POST /v1/completions`: continue prompts, as JSON and as a stream, in OpenAI's older format.

A model that writes documents continues the prompt; without one, a model that replies takes it as the only turn.
"""

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Request
from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema
from starlette.responses import Response

from convmodel.serving.document_jobs import CheckedDocuments, DocumentRequest
from convmodel.serving.errors import APIError
from convmodel.serving.ignored_fields import LenientModel, ignored_fields, report_ignored
from convmodel.serving.json_body import json_response
from convmodel.serving.openai.embeddings import reject_token_ids
from convmodel.serving.openai.routes import encode_error, merge
from convmodel.serving.openai.schemas import DecodingFields, FinishReason, No, Only, TokensDetails, Usage
from convmodel.serving.openai.translate import (
    Report,
    check_model,
    choice_seeds,
    convert_finish_reason,
    decoding_options,
)
from convmodel.serving.reply_jobs import CheckedReply, ReplyRequest
from convmodel.serving.request_options import check_count, check_texts, resolve_options
from convmodel.serving.schemas import JOB_STATUSES, ResponseModel, error_responses, stream_responses
from convmodel.serving.service import Owner, Service, TheService
from convmodel.serving.sse import DONE, cancel_on_disconnect, encode_data, stream_response
from convmodel.serving.thread_bridge import AsyncJob

router = APIRouter(prefix="/v1", tags=["OpenAI"])

CheckedText = CheckedReply | CheckedDocuments


class CompletionsRequest(DecodingFields, LenientModel):
    """Prompts to continue. `preset` and `options` are extensions: `extra_body` in OpenAI's client."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "model", "prompt": "Once upon a time", "max_tokens": 50}]}
    )

    model: str = Field(description="the name in /v1/models")
    prompt: Annotated[str | Annotated[list[str], Field(min_length=1)], BeforeValidator(reject_token_ids)] = Field(
        description="a prompt, or a list of prompts; token ids are not supported"
    )
    echo: bool | None = Field(None, description="whether the text begins with the prompt")
    best_of: Annotated[int, WithJsonSchema({"const": 1})] | None = Field(
        None, description="only 1 and the value of n are supported"
    )
    suffix: Only[Literal[""]] = None
    logprobs: Only[No] = None
    logit_bias: Only[Annotated[dict[str, Any], Field(max_length=0)]] = None

    def prompts(self) -> list[str]:
        """Return the prompts."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class TextChoice(ResponseModel):
    """One text."""

    index: int
    text: str
    logprobs: None = None
    finish_reason: FinishReason


class CompletionsBody(ResponseModel):
    """The response body."""

    id: str = Field(examples=["cmpl-5f1c0a1d"])
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage


@router.post(
    "/completions",
    summary="Create a completion",
    response_model=CompletionsBody,
    responses={
        **error_responses(400, 404, *JOB_STATUSES),
        **stream_responses(
            CompletionsBody, "`data: {chunk}`, the last of each text with `finish_reason`, then `data: [DONE]`."
        ),
    },
)
async def complete(body: CompletionsRequest, request: Request, service: TheService, owner: Owner) -> Response:
    """Continue each prompt `n` times. 404 on a server that neither writes documents nor replies."""
    if service.documents is None and service.replies is None:
        message = "nothing writes here; start the server with --documents or --model; see /about"
        raise APIError(404, message, code="no_completions")
    report = partial(report_ignored, request)
    report(ignored_fields(body))
    check_model(service, body.model)
    _check_counts(service, body)
    jobs = await _start(service, body, owner, report)
    completion = TextCompletion(service, body, jobs)
    if body.stream:
        return stream_response(service, completion.events(), completion.cancel, encode_error)
    return json_response(await cancel_on_disconnect(request, completion.result(), completion.cancel))


def _check_counts(service: Service, body: CompletionsRequest) -> None:
    """Raise APIError 400 for too many or too long prompts, and for a number of texts above the limit."""
    check_texts(service, body.prompts(), param="prompt")
    n = body.n or 1
    check_count("n", n, service.settings.n)
    if body.best_of not in (None, 1, n):
        message = f"best_of={body.best_of}; only 1 and the value of n ({n}) are supported"
        raise APIError(400, message, param="best_of", code="unsupported_parameter")


async def _start(
    service: Service, body: CompletionsRequest, owner: str, report: Report
) -> Sequence[AsyncJob[CheckedText]]:
    """Start a job for each text: `n` of the first prompt, then `n` of the second, ..."""
    options = resolve_options(
        service, body.preset, None if body.options is None else body.options.given(), documents=True
    )
    options |= decoding_options(service, body, options, report=report, documents=True)
    seeds = choice_seeds(body, secrets.randbelow)
    others: dict[str, Any] = {"owner": owner, "user": body.user, "pieces": bool(body.stream)}
    pairs = [(prompt, seed) for prompt in body.prompts() for seed in seeds]
    if service.documents is not None:
        documents = [DocumentRequest(prompt, options=options, seed=seed) for prompt, seed in pairs]
        return cast(Sequence[AsyncJob[CheckedText]], await service.documents.start(documents, **others))
    assert service.replies is not None
    replies = [ReplyRequest([prompt], tuple(service.persona), options, seed) for prompt, seed in pairs]
    return cast(Sequence[AsyncJob[CheckedText]], await service.replies.start(replies, **others))


class TextCompletion:
    """The texts of one request, while they are generated; a job for each."""

    def __init__(self, service: Service, body: CompletionsRequest, jobs: Sequence[AsyncJob[CheckedText]]) -> None:
        self._jobs = jobs
        self._n = body.n or 1
        self._beginnings = [prompt if body.echo else "" for prompt in body.prompts() for _ in range(self._n)]
        self._include_usage = bool(body.stream_options and body.stream_options.include_usage)
        self._head = {"id": f"cmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": service.model}

    def cancel(self) -> None:
        """Cancel all texts."""
        for job in self._jobs:
            job.cancel()

    async def result(self) -> CompletionsBody:
        """Wait for all texts and return the response body."""
        texts = [await job.result() for job in self._jobs]
        choices = [
            TextChoice(index=index, text=beginning + text.text, finish_reason=convert_finish_reason(text))
            for index, (beginning, text) in enumerate(zip(self._beginnings, texts, strict=True))
        ]
        return CompletionsBody.model_validate({**self._head, "choices": choices, "usage": self._usage(texts)})

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Yield the encoded chunks of the stream."""
        for index, beginning in enumerate(self._beginnings):
            if beginning:
                yield self._chunk(index, beginning)
        texts: dict[int, CheckedText] = {}
        async with contextlib.aclosing(merge(self._jobs)) as items:
            async for index, item in items:
                if isinstance(item, str):
                    yield self._chunk(index, item)
                else:
                    texts[index] = item
                    yield self._chunk(index, "", convert_finish_reason(item))
        if self._include_usage:
            yield self._encode([], self._usage([texts[index] for index in sorted(texts)]).model_dump())
        yield DONE

    def _chunk(self, index: int, text: str, finish_reason: FinishReason | None = None) -> bytes:
        return self._encode([{"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}])

    def _encode(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        chunk = {**self._head, "object": "text_completion", "choices": choices}
        return encode_data({**chunk, "usage": usage} if self._include_usage else chunk)

    def _usage(self, texts: Sequence[CheckedText]) -> Usage:
        """Return the token counts. Each prompt counts once, independent of the number of its texts."""
        counts = [_count_tokens(text) for text in texts]
        read = sum(count[0] for count in counts[:: self._n])
        written = sum(count[1] for count in counts)
        details = TokensDetails(cached_tokens=sum(count[2] for count in counts[:: self._n]))
        return Usage(
            prompt_tokens=read,
            completion_tokens=written,
            total_tokens=read + written,
            prompt_tokens_details=details,
        )


def _count_tokens(text: CheckedText) -> tuple[int, int, int]:
    """Return the numbers of tokens that were read, written, and taken from the cache."""
    if isinstance(text, CheckedReply):
        return text.reply.context_tokens, text.reply.reply_tokens, text.reply.cached_tokens
    return (0, 0, 0) if text.output is None else (text.output.tokens_read, sum(text.output.tokens), 0)

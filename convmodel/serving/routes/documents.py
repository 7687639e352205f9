"""A prompt in, documents that go on from it out, at once or piece by piece."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field, StringConstraints
from starlette.responses import Response

from convmodel.serving.document_jobs import CheckedDocuments, DocumentRequest
from convmodel.serving.errors import APIError
from convmodel.serving.jobs import CompletedJob, Made
from convmodel.serving.request_options import check_chars, check_options, resolve_options
from convmodel.serving.routes.replies import error_event
from convmodel.serving.schemas import (
    MAKING,
    BlockedBody,
    Options,
    RequestModel,
    ResponseModel,
    Seed,
    refusals,
    streamed,
)
from convmodel.serving.service import Owner, Service, TheService
from convmodel.serving.sse import EventStream, cancel_on_disconnect, event, json_response

router = APIRouter(tags=["Documents"])

Short = Annotated[str, StringConstraints(max_length=2000)]
Value = Short | bool | int | float
Meta = (
    Short
    | bool
    | int
    | float
    | list[Value]
    | dict[Annotated[str, StringConstraints(min_length=1, pattern=r"\S")], Value | list[Value]]
)


class DocumentRequestBody(RequestModel):
    """How a document begins."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"prompt": "Once upon a time", "meta": {"topics": ["cats", "dogs"]}, "n": 2}]}
    )

    prompt: str = Field("", description="the first words; may be empty")
    meta: Meta | None = Field(None, description="what is known of it: a text, a list, or an object of fields")
    n: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="texts that are written")
    preset: str | None = Field(None, description="a set of options, see /about; null is the server's usual one")
    options: Options | None = Field(None, description="on top of the preset")
    seed: Seed | None = Field(None, description="the same request with the same seed gives the same texts")
    stream: bool = Field(False, description="whether the first text comes piece by piece, as text/event-stream")


class TextBody(ResponseModel):
    """One text that was written."""

    text: str = Field(description="what follows the prompt")
    finish: Literal["end", "stop", "length", "cancelled"]
    tokens: int
    score: float | None = Field(description="log-likelihood for each token, in nats; null of a single text")


class DocumentsBody(ResponseModel):
    """What was written."""

    prompt: str
    meta: Any
    texts: list[TextBody] = Field(description="without those that may not be shown")
    tokens_read: int
    tokens_dropped: int = Field(description="the prompt's oldest ones, for which there was no room")
    meta_tokens_dropped: int = Field(description="the meta's last ones, which are more than the model reads")
    seed: int | None
    blocked: BlockedBody | None = Field(description="why texts are missing, if some are")


@router.post(
    "/documents",
    summary="Write documents",
    response_model=DocumentsBody,
    responses={
        **refusals(400, 404, *MAKING),
        **streamed(
            DocumentsBody,
            '`piece` with `{"text"}` of the first text, any number of times; '
            "then `documents` with the same as the JSON, or `error`.",
            *("piece", "documents", "error"),
        ),
    },
)
async def write(body: DocumentRequestBody, request: Request, service: TheService, owner: Owner) -> Response:
    """Goes on from a prompt, `n` times, with what is known of the document. 404 where the model writes no documents."""
    if service.documents is None:
        raise APIError(404, "this server writes no documents; see /about for what it does", code="no_documents")
    begun = _begun(service, body)
    writing = await service.documents.begin(begun, owner=owner, pieces=body.stream)
    if body.stream:
        return EventStream(_events(writing, body, service), keep_alive=service.settings.keep_alive)
    return json_response(_body(body, await cancel_on_disconnect(request, writing.result(), writing.stop)))


def _begun(service: Service, body: DocumentRequestBody) -> DocumentRequest:
    check_chars(body.prompt, service.settings.turn_chars, param="prompt")
    options = {} if body.options is None else body.options.given()
    check_options(service, options)
    if "n" in body.model_fields_set:
        options["num_return_sequences"] = body.n
    if body.n > service.settings.n:
        raise APIError(400, f"n={body.n}; this server allows 1 to {service.settings.n}", param="n", code="too_much")
    return DocumentRequest(
        body.prompt, body.meta, resolve_options(service, body.preset, options, documents=True), body.seed
    )


async def _events(
    writing: Made[CheckedDocuments] | CompletedJob[CheckedDocuments], body: DocumentRequestBody, service: Service
) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in writing.pieces():
            yield event("piece", {"text": piece})
        yield event("documents", _body(body, await writing.result()))
    except APIError as refusal:
        yield error_event(refusal, service)
    finally:
        writing.stop()


def _body(asked: DocumentRequestBody, written: CheckedDocuments) -> DocumentsBody:
    output, blocked = written.output, written.blocked
    return DocumentsBody(
        prompt=asked.prompt,
        meta=asked.meta,
        texts=[]
        if output is None
        else [
            TextBody(text=output.texts[n], finish=output.finishes[n], tokens=output.tokens[n], score=output.scores[n])
            for n in written.shown
        ],
        tokens_read=0 if output is None else output.tokens_read,
        tokens_dropped=0 if output is None else output.tokens_dropped,
        meta_tokens_dropped=0 if output is None else output.meta_tokens_dropped,
        seed=None if output is None else output.seed,
        blocked=None if blocked is None else BlockedBody.of(blocked),
    )

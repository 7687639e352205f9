"""`POST /documents`: continuations of a prompt by a document writer, as JSON or as a stream."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field, StringConstraints
from starlette.responses import Response

from convmodel.serving import schemas
from convmodel.serving.document_jobs import CheckedDocuments, DocumentRequest
from convmodel.serving.errors import APIError
from convmodel.serving.request_options import check_chars, check_count, check_options, resolve_options
from convmodel.serving.service import Owner, Service, TheService
from convmodel.serving.sse import respond

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


class DocumentRequestBody(schemas.RequestModel):
    """A prompt to continue, and its metadata."""

    model_config = schemas.example(prompt="Once upon a time", meta={"topics": ["cats", "dogs"]}, n=2)

    prompt: str = Field("", description="the beginning of the document; may be empty")
    meta: Meta | None = Field(None, description="metadata: a text, a list, or an object of fields")
    n: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="number of texts to generate")
    preset: str | None = Field(None, description="name of a preset, see /about; null uses the server's default preset")
    options: schemas.Options | None = Field(None, description="options that override the preset")
    seed: schemas.Seed | None = Field(None, description="reproduces the texts with the same request")
    stream: bool = Field(False, description="whether to stream the first text as text/event-stream")


class TextBody(schemas.ResponseModel):
    """A generated text."""

    text: str = Field(description="the continuation, without the prompt")
    finish: Literal["end", "stop", "length", "cancelled"]
    tokens: int
    score: float | None = Field(description="mean log-likelihood per token, in nats; null for a single text")


class DocumentsBody(schemas.ResponseModel):
    """The generated texts, and their token counts."""

    prompt: str
    meta: Any
    texts: list[TextBody] = Field(description="without the texts that the policy blocked")
    tokens_read: int
    tokens_dropped: int = Field(description="number of first tokens of the prompt that were left out to fit the window")
    meta_tokens_dropped: int = Field(
        description="number of last tokens of the metadata that were left out, beyond the model's maximum"
    )
    seed: int | None
    blocked: schemas.BlockedBody | None = Field(
        description="the reason why the policy blocked texts; null if it blocked none"
    )


@router.post(
    "/documents",
    summary="Write documents",
    response_model=DocumentsBody,
    responses=schemas.stream_responses(
        DocumentsBody,
        '`piece` with `{"text"}` of the first text, any number of times; '
        "then `documents` with the same body as the JSON, or `error`.",
        *("piece", "documents", "error"),
    ),
)
async def write(body: DocumentRequestBody, request: Request, service: TheService, owner: Owner) -> Response:
    """Generate `n` continuations of a prompt, given its metadata. 404 on a server without a document writer."""
    if service.documents is None:
        raise APIError(404, "this server writes no documents; see /about for what it does", code="no_documents")
    [job] = await service.documents.start([_build_request(service, body)], owner=owner, pieces=body.stream)

    async def result() -> DocumentsBody:
        return _body(body, await job.result())

    return await respond(request, "documents", result, job.cancel, pieces=aiter(job) if body.stream else None)


def _build_request(service: Service, body: DocumentRequestBody) -> DocumentRequest:
    check_chars(body.prompt, service.settings.turn_chars, param="prompt")
    options = {} if body.options is None else body.options.given()
    check_options(service, options)
    if "n" in body.model_fields_set:
        options["num_return_sequences"] = body.n
    check_count("n", body.n, service.settings.n)
    options = resolve_options(service, body.preset, options, documents=True)
    return DocumentRequest(body.prompt, body.meta, options, body.seed)


def _body(request: DocumentRequestBody, documents: CheckedDocuments) -> DocumentsBody:
    output = documents.output
    texts: list[dict[str, Any]] = []
    if output is not None:
        columns = zip(output.texts, output.finishes, output.tokens, output.scores, strict=True)
        texts = [dict(zip(TextBody.model_fields, column, strict=True)) for column in columns]
    fields = {name: getattr(output, name, 0) for name in ("tokens_read", "tokens_dropped", "meta_tokens_dropped")}
    fields |= {"seed": getattr(output, "seed", None), "blocked": documents.blocked}
    shown = [texts[index] for index in documents.shown]
    return DocumentsBody.model_validate({"prompt": request.prompt, "meta": request.meta, "texts": shown, **fields})

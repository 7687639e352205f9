"""`POST /v1/embeddings`: embeddings of texts by a bi-encoder or ConveRT, in OpenAI's format."""

import base64
import struct
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from convmodel.serving.errors import APIError
from convmodel.serving.ignored_fields import LenientModel, report_fields
from convmodel.serving.json_body import json_response
from convmodel.serving.request_options import check_texts
from convmodel.serving.schemas import JOB_STATUSES, ResponseModel, Text, UserId, error_responses, example
from convmodel.serving.selector_jobs import SelectorService
from convmodel.serving.service import Owner, Service, TheService
from convmodel.serving.sse import cancel_on_disconnect

router = APIRouter(prefix="/v1", tags=["OpenAI"])


def reject_token_ids(value: Any) -> Any:
    """Return a field's value; raise a validation error if it has token ids, which OpenAI's API accepts as texts."""
    items = value if isinstance(value, list) else []
    if any(isinstance(item, int | float | list) for item in items):
        message = "token ids are not supported; send texts (LangChain: check_embedding_ctx_length=False)"
        raise PydanticCustomError("unsupported_parameter", message)
    return value


class EmbeddingsRequest(LenientModel):
    """Texts to embed."""

    model_config = example(model="model", input=["Do you have any pets?", "Two cats."])

    model: str = Field(description="name of a model in /v1/models")
    input: Annotated[Text | Annotated[list[Text], Field(min_length=1)], BeforeValidator(reject_token_ids)] = Field(
        description="a text, or a list of texts; token ids are not supported"
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="numbers, or little-endian float32 in base64; null means numbers"
    )
    dimensions: int | None = Field(None, ge=1, description="only the dimension of the model's vectors is supported")
    user: UserId | None = Field(None, description="id of the end user, not verified; limits open requests per user")
    input_type: Literal["query", "document"] | None = Field(
        None,
        description="extension: query for a context, document (the default) for a reply. The dot product of the "
        "vectors of a context and a reply is the selector's score.",
    )


class EmbeddingBody(ResponseModel):
    """The embedding of a text."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(ResponseModel):
    """Token counts of the texts."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsExtras(ResponseModel):
    """Extension: further data about the embeddings."""

    tokens_dropped: int = Field(description="tokens of texts beyond the model's maximum length, which were cut off")


class EmbeddingsBody(ResponseModel):
    """The response body with the embeddings."""

    object: Literal["list"] = "list"
    data: list[EmbeddingBody]
    model: str
    usage: EmbeddingsUsage
    convmodel: EmbeddingsExtras


@router.post(
    "/embeddings",
    summary="Embed texts",
    response_model=EmbeddingsBody,
    responses=error_responses(400, 404, *JOB_STATUSES),
)
async def embed(body: EmbeddingsRequest, request: Request, service: TheService, owner: Owner) -> Response:
    """Return the embedding of each text. 404 on a server without a bi-encoder or ConveRT (`--selector`)."""
    embeddings = _embeddings(service)
    report_fields(request, body)
    service = service.named(body.model)
    if body.dimensions not in (None, embeddings.selector.dimensions):
        message = f"dimensions={body.dimensions}; the vectors have {embeddings.selector.dimensions}; leave it out"
        raise APIError(400, message, param="dimensions", code="unsupported_parameter")
    texts = [body.input] if isinstance(body.input, str) else body.input
    check_texts(service, texts, param="input")
    job = await embeddings.embed(texts, queries=body.input_type == "query", owner=owner, user=body.user)
    output = await cancel_on_disconnect(request, job.result(), job.cancel)
    encode = encode_base64 if body.encoding_format == "base64" else list
    data = [EmbeddingBody(index=index, embedding=encode(vector)) for index, vector in enumerate(output.values)]
    return json_response(
        EmbeddingsBody(
            data=data,
            model=service.model,
            usage=EmbeddingsUsage(prompt_tokens=output.tokens, total_tokens=output.tokens),
            convmodel=EmbeddingsExtras(tokens_dropped=output.tokens_dropped),
        )
    )


def encode_base64(vector: Sequence[float]) -> str:
    """Encode a vector as little-endian float32 numbers in base64."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _embeddings(service: Service) -> SelectorService:
    """Return the service that embeds texts; raise APIError 404 if the server has no model for this."""
    if service.embeddings is None:
        message = "nothing embeds texts here; start the server with a bi-encoder or ConveRT (--selector DIR)"
    elif service.embeddings.selector.dimensions is None:
        kind = service.embeddings.selector.kind
        message = f"a {kind} has no single vector for a text; start the server with a bi-encoder or ConveRT"
    else:
        return service.embeddings
    raise APIError(404, message, code="no_embeddings")

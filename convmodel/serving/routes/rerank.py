"""`POST /v1/rerank` and `/v2/rerank`: ranking of documents by a selector, in Jina's and Cohere's format."""

import math
import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from convmodel.responders.text_selector import TextScores
from convmodel.serving.errors import APIError
from convmodel.serving.ignored_fields import LenientModel, report_fields
from convmodel.serving.json_body import json_response
from convmodel.serving.openai.unsupported import Only
from convmodel.serving.request_options import check_chars, check_texts
from convmodel.serving.schemas import JOB_STATUSES, MessageErrorBody, ResponseModel, Text, error_responses, example
from convmodel.serving.service import Owner, TheService
from convmodel.serving.sse import cancel_on_disconnect

router = APIRouter(tags=["Rerank"])


class DocumentObject(LenientModel):
    """A document as an object; only its field `text` is ranked."""

    text: Text


class RerankRequest(LenientModel):
    """Documents to rank for a query."""

    model_config = example(model="model", query="Do you have any pets?", documents=["Two cats.", "At nine."])

    model: str | None = Field(None, description="name of a model in /v1/models")
    query: Text = Field(description="the turn that the documents reply to")
    documents: Annotated[list[Text | DocumentObject], Field(min_length=1)]
    top_n: int | None = Field(None, ge=1, description="number of best documents to return; null means all")
    return_documents: bool | None = Field(None, description="whether to return the texts, too")
    rank_fields: Only[list[Literal["text"]]] = None

    def texts(self) -> list[str]:
        """Return the texts of the documents."""
        return [document if isinstance(document, str) else document.text for document in self.documents]


class DocumentText(ResponseModel):
    """The text of a document."""

    text: str


class ResultBody(ResponseModel):
    """A ranked document."""

    index: int = Field(description="index of the document in the request")
    relevance_score: float = Field(description="the logistic function of the score: 0 to 1")
    score: float = Field(description="extension: the selector's score; higher is better")
    document: DocumentText | None = Field(description="the text, if return_documents is true; otherwise null")


class UsageBody(ResponseModel):
    """Jina's token count."""

    total_tokens: int


class TokensBody(ResponseModel):
    """Cohere's token counts."""

    input_tokens: int


class MetaBody(ResponseModel):
    """Cohere's metadata of the response."""

    tokens: TokensBody
    warnings: list[str] = Field(description="the number of tokens of long documents that were cut off, if any")


class RerankBody(ResponseModel):
    """The ranked documents, best first, and the token counts."""

    id: str
    model: str
    results: list[ResultBody]
    usage: UsageBody
    meta: MetaBody


ROUTE: dict[str, Any] = {
    "response_model": RerankBody,
    "responses": error_responses(400, 404, *JOB_STATUSES, model=MessageErrorBody),
}


@router.post("/v2/rerank", summary="Rank documents (Cohere's second version)", **ROUTE)
@router.post("/v1/rerank", summary="Rank documents", **ROUTE)
async def rerank(body: RerankRequest, request: Request, service: TheService, owner: Owner) -> Response:
    """Rank documents as replies to a query. 404 on a server without a selector (`--selector` or `--reranker`)."""
    rankings = service.rankings
    if rankings is None:
        message = "nothing ranks texts here; start the server with a selector (--selector DIR, or --reranker DIR)"
        raise APIError(404, message, code="no_reranker")
    report_fields(request, body)
    service = service.named(body.model)
    texts = body.texts()
    check_chars(body.query, service.settings.turn_chars, param="query")
    check_texts(service, texts, param="documents")
    job = await rankings.rank(body.query, texts, owner=owner)
    output = await cancel_on_disconnect(request, job.result(), job.cancel)
    results = _results(output, texts, body)
    warnings = [] if not output.tokens_dropped else [f"{output.tokens_dropped} tokens of long documents were cut off"]
    return json_response(
        RerankBody(
            id=f"rerank-{secrets.token_hex(12)}",
            model=service.model,
            results=results,
            usage=UsageBody(total_tokens=output.tokens),
            meta=MetaBody(tokens=TokensBody(input_tokens=output.tokens), warnings=warnings),
        )
    )


def _results(output: TextScores, texts: list[str], body: RerankRequest) -> list[ResultBody]:
    """Return the `top_n` best documents, best first; documents with equal scores keep their order."""
    order = sorted(range(len(texts)), key=lambda index: -output.values[index])
    return [
        ResultBody(
            index=index,
            relevance_score=logistic(output.values[index]),
            score=output.values[index],
            document=DocumentText(text=texts[index]) if body.return_documents else None,
        )
        for index in order[: body.top_n]
    ]


def logistic(score: float) -> float:
    """Return the logistic function of a score: a number from 0 to 1 that increases with the score."""
    return 0.5 * (1.0 + math.tanh(0.5 * score))

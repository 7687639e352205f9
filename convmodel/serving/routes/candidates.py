"""`POST /candidates`: search the candidates without generating a reply."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from convmodel.serving.errors import APIError
from convmodel.serving.request_options import check_turns
from convmodel.serving.schemas import JOB_STATUSES, CandidateBody, RequestModel, ResponseModel, Text, error_responses
from convmodel.serving.service import Owner, TheService
from convmodel.serving.sse import cancel_on_disconnect, json_response

router = APIRouter(tags=["Replies"])


class SearchRequest(RequestModel):
    """A context to search candidates for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"context": ["Do you have any pets?"], "k": 3}]})

    context: Annotated[list[Text], Field(min_length=1, description="the turns so far, oldest first")]
    k: Annotated[int, Field(ge=1, le=1000)] = Field(10, description="maximum number of candidates to return")


class CandidatesBody(ResponseModel):
    """The candidates found."""

    candidates: list[CandidateBody] = Field(description="best first")


@router.post(
    "/candidates",
    summary="Search candidates",
    response_model=CandidatesBody,
    responses=error_responses(400, 404, *JOB_STATUSES),
)
async def search(body: SearchRequest, request: Request, service: TheService, owner: Owner) -> Response:
    """Return the candidates that reply best to a context. 404 on a server without candidates."""
    if service.search is None:
        raise APIError(404, "this server has no candidates to choose from; see /about", code="no_candidates")
    check_turns(service, body.context)
    k = body.k if "k" in body.model_fields_set else min(body.k, service.settings.k)
    if k > service.settings.k:
        raise APIError(400, f"k={k}; this server allows 1 to {service.settings.k}", param="k", code="too_much")
    searching = service.search.search(body.context, k, owner=owner)
    candidates = await cancel_on_disconnect(request, searching, lambda: None)
    return json_response(CandidatesBody(candidates=[CandidateBody.of(candidate) for candidate in candidates]))

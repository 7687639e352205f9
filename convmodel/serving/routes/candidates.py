"""A context in, the candidates that reply to it best out: the search alone."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from convmodel.serving.errors import APIError
from convmodel.serving.request_options import check_turns
from convmodel.serving.schemas import MAKING, CandidateBody, RequestModel, ResponseModel, Text, refusals
from convmodel.serving.service import Owner, TheService
from convmodel.serving.sse import cancel_on_disconnect, json_response

router = APIRouter(tags=["Replies"])


class SearchRequest(RequestModel):
    """What candidates are searched for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"context": ["Do you have any pets?"], "k": 3}]})

    context: Annotated[list[Text], Field(min_length=1, description="the turns so far, oldest first")]
    k: Annotated[int, Field(ge=1, le=1000)] = Field(10, description="as many are found, where there are so many")


class CandidatesBody(ResponseModel):
    """What was found."""

    candidates: list[CandidateBody] = Field(description="best first")


@router.post(
    "/candidates",
    summary="Search candidates",
    response_model=CandidatesBody,
    responses=refusals(400, 404, *MAKING),
)
async def search(body: SearchRequest, request: Request, service: TheService, owner: Owner) -> Response:
    """Finds the candidates that reply best to a context. 404 where nothing chooses."""
    if service.search is None:
        raise APIError(404, "this server has no candidates to choose from; see /about", code="no_candidates")
    check_turns(service, body.context)
    k = body.k if "k" in body.model_fields_set else min(body.k, service.settings.k)
    if k > service.settings.k:
        raise APIError(400, f"k={k}; this server allows 1 to {service.settings.k}", param="k", code="too_much")
    finding = service.search.find(body.context, k, owner=owner)
    found = await cancel_on_disconnect(request, finding, lambda: None)
    return json_response(CandidatesBody(candidates=[CandidateBody.of(each) for each in found]))

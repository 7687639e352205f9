"""Nothing in, whether the server lives, works, and how much it has done out."""

import asyncio
import logging
from typing import Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field
from starlette.responses import Response

from convmodel.serving.errors import APIError
from convmodel.serving.jobs import shutting_down
from convmodel.serving.logs import log_defect
from convmodel.serving.schemas import ResponseModel, refusals
from convmodel.serving.service import TheService
from convmodel.serving.sse import json_response

router = APIRouter(tags=["Server"])

logger = logging.getLogger(__name__)


class HealthBody(ResponseModel):
    """It lives."""

    status: Literal["ok"] = Field(examples=["ok"])


@router.head("/health", include_in_schema=False)
@router.get("/health", summary="Whether the server lives", response_model=HealthBody, responses=refusals())
async def health() -> Response:
    """Always 200 while the process answers. Needs no key."""
    return json_response(HealthBody(status="ok"))


@router.head("/ready", include_in_schema=False)
@router.get("/ready", summary="Whether the server works", response_model=HealthBody, responses=refusals(503))
async def ready(service: TheService) -> Response:
    """200 when requests can be answered; 503 while the server ends, or when something it needs does not work."""
    if service.makings.closing:
        raise shutting_down()
    for name, check in service.ready.items():
        try:
            await asyncio.to_thread(check)
        except Exception as error:
            log_defect(logger, error, texts=service.settings.log_texts)
            raise APIError(503, f"{name} does not work; the log says why", code="not_ready") from None
    return json_response(HealthBody(status="ok"))


@router.get(
    "/metrics",
    summary="What the server has done",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **refusals()},
)
async def metrics(service: TheService) -> Response:
    """Numbers in Prometheus' text format."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

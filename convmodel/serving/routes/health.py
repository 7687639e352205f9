"""`GET /health`, `GET /ready` and `GET /metrics`: liveness, readiness and Prometheus metrics."""

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
from convmodel.serving.schemas import ResponseModel, error_responses
from convmodel.serving.service import TheService
from convmodel.serving.sse import json_response

router = APIRouter(tags=["Server"])

logger = logging.getLogger(__name__)


class HealthBody(ResponseModel):
    """The status of a working server."""

    status: Literal["ok"] = Field(examples=["ok"])


@router.head("/health", include_in_schema=False)
@router.get("/health", summary="Check liveness", response_model=HealthBody, responses=error_responses())
async def health() -> Response:
    """Return 200 as long as the process responds. Needs no API key."""
    return json_response(HealthBody(status="ok"))


@router.head("/ready", include_in_schema=False)
@router.get("/ready", summary="Check readiness", response_model=HealthBody, responses=error_responses(503))
async def ready(service: TheService) -> Response:
    """Return 200 if requests can be answered; 503 during shutdown, or if a readiness check fails."""
    if service.jobs.closing:
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
    summary="Export metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **error_responses()},
)
async def metrics(service: TheService) -> Response:
    """Return all metrics in Prometheus' text format."""
    return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)

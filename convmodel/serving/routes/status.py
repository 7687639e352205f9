"""`GET /about`, `/health`, `/ready` and `/metrics`: description, liveness, readiness and Prometheus metrics."""

import asyncio
import logging
from typing import Any, Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field
from starlette.responses import Response

import convmodel
from convmodel.serving.errors import APIError
from convmodel.serving.jobs import shutting_down
from convmodel.serving.json_body import json_response
from convmodel.serving.logs import log_defect
from convmodel.serving.request_options import resolve_options, supports
from convmodel.serving.schemas import Options, ResponseModel, error_responses
from convmodel.serving.service import Service, TheService

router = APIRouter(tags=["Server"])

logger = logging.getLogger(__name__)


class LimitsBody(ResponseModel):
    """Limits of requests; see `Settings`."""

    body_bytes: int
    turns: int
    turn_chars: int
    texts: int
    persona_chars: int
    n: int
    new_tokens: int
    k: int


class AboutBody(ResponseModel):
    """The description of a server: its models, abilities, presets, options and limits."""

    title: str
    model: str = Field(description="name in /v1/models")
    models: list[str] = Field(description="all names in /v1/models: the model, and the adapters over it")
    version: str = Field(description="version of convmodel")
    writes: bool = Field(description="whether replies or documents are generated")
    chooses: bool = Field(description="whether replies are selected from candidates")
    documents: bool = Field(description="whether /documents is available")
    candidates: bool = Field(description="whether /candidates is available")
    embeddings: bool = Field(description="whether /v1/embeddings is available")
    rerank: bool = Field(description="whether /v1/rerank is available")
    conversations: bool = Field(description="whether /conversations is available")
    preset: str | None = Field(description="preset of requests without a preset; null means the model's own options")
    presets: dict[str, dict[str, Any]]
    options: dict[str, Any] = Field(description="all options that apply to a request without options")
    option_help: dict[str, str] = Field(description="description of each option with its allowed values")
    limits: LimitsBody
    keys: bool = Field(description="whether an API key is required")
    policy: bool = Field(description="whether a policy checks texts")


@router.get("/about", summary="Describe the server", response_model=AboutBody, responses=error_responses())
async def about(service: TheService) -> Response:
    """Return the server's models, abilities, presets, options with their allowed values, and limits."""
    talker = service.talker
    talker_options = {} if talker is None else dict(talker.options)
    body = AboutBody(
        title=service.title,
        model=service.model,
        models=[*service.models],
        version=convmodel.__version__,
        writes="do_sample" in talker_options,
        chooses=service.searches,
        documents=service.documents is not None,
        candidates=service.searches,
        embeddings=service.embeddings is not None and service.embeddings.selector.dimensions is not None,
        rerank=service.rankings is not None,
        conversations=service.store is not None,
        preset=service.preset,
        presets={name: dict(options) for name, options in service.presets.items()},
        options={**talker_options, **resolve_options(service, None, None)},
        option_help=describe_options(service),
        limits=LimitsBody.model_validate(service.settings),
        keys=service.keys.required,
        policy=service.policy is not None,
    )
    return json_response(body)


def describe_options(service: Service) -> dict[str, str]:
    """Return the description of each option that the server supports, by the option's name."""
    descriptions: dict[str, str] = {}
    for name, field in Options.model_fields.items():
        allowed = name != "num_beams" or service.settings.beams
        if allowed and service.talker is not None and supports(service.talker, name):
            descriptions[name] = field.description or ""
    return descriptions


class HealthBody(ResponseModel):
    """The status of a working server."""

    status: Literal["ok"] = Field(examples=["ok"])


@router.get("/health", summary="Check liveness", response_model=HealthBody, responses=error_responses())
async def health() -> Response:
    """Return 200 while the server process responds. Needs no API key."""
    return json_response(HealthBody(status="ok"))


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

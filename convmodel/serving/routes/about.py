"""`GET /about`: the model, its options and presets, and the server's limits."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

import convmodel
from convmodel.serving.request_options import resolve_options
from convmodel.serving.schemas import Options, ResponseModel, error_responses
from convmodel.serving.service import Service, TheService
from convmodel.serving.sse import json_response

router = APIRouter(tags=["Server"])


class LimitsBody(ResponseModel):
    """Maximum values of requests."""

    body_bytes: int
    turns: int
    turn_chars: int
    persona_chars: int
    n: int
    new_tokens: int
    k: int


class AboutBody(ResponseModel):
    """The description of a server."""

    title: str
    model: str = Field(description="name in /v1/models")
    version: str = Field(description="version of convmodel")
    writes: bool = Field(description="whether replies or documents are generated")
    chooses: bool = Field(description="whether replies are selected from candidates")
    documents: bool = Field(description="whether /documents is available")
    candidates: bool = Field(description="whether /candidates is available")
    conversations: bool = Field(description="whether /conversations is available")
    preset: str | None = Field(description="used for requests without a preset")
    presets: dict[str, dict[str, Any]]
    options: dict[str, Any] = Field(description="all options of a request that sets none")
    option_help: dict[str, str] = Field(description="description of each option with its allowed values")
    limits: LimitsBody
    keys: bool = Field(description="whether an API key is required")
    policy: bool = Field(description="whether a policy checks texts")


@router.get("/about", summary="Describe the server", response_model=AboutBody, responses=error_responses())
async def about(service: TheService) -> Response:
    """Return the model, its abilities, its presets, all options with their allowed values, and the limits."""
    return json_response(_about(service))


def _about(service: Service) -> AboutBody:
    settings = service.settings
    talker = service.talker
    talker_options = {} if talker is None else dict(talker.options)
    presets = {name: dict(options) for name, options in service.presets.items()}
    return AboutBody(
        title=service.title,
        model=service.model,
        version=convmodel.__version__,
        writes="do_sample" in talker_options,
        chooses=service.search is not None,
        documents=service.documents is not None,
        candidates=service.search is not None,
        conversations=service.store is not None,
        preset=service.preset,
        presets=presets,
        options={**talker_options, **resolve_options(service, None, None)},
        option_help=describe_options(service),
        limits=LimitsBody(
            body_bytes=settings.body_bytes,
            turns=settings.turns,
            turn_chars=settings.turn_chars,
            persona_chars=settings.persona_chars,
            n=settings.n,
            new_tokens=settings.new_tokens,
            k=settings.k,
        ),
        keys=service.keys.required,
        policy=service.policy is not None,
    )


def describe_options(service: Service) -> dict[str, str]:
    """Return the description of each option that the server supports."""
    unsupported = set() if service.settings.beams else {"num_beams"}
    talker = service.talker
    descriptions: dict[str, str] = {}
    for name, field in Options.model_fields.items():
        if name in unsupported or talker is None:
            continue
        try:
            talker.check_options({name: None})
        except ValueError:
            continue
        descriptions[name] = field.description or ""
    return descriptions

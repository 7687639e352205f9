"""Nothing in, what this server is and allows out."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

import convmodel
from convmodel.serving.request_options import resolve_options
from convmodel.serving.schemas import Options, ResponseModel, refusals
from convmodel.serving.service import Service, TheService
from convmodel.serving.sse import json_response

router = APIRouter(tags=["Server"])


class LimitsBody(ResponseModel):
    """What requests may ask for at most."""

    body_bytes: int
    turns: int
    turn_chars: int
    persona_chars: int
    n: int
    new_tokens: int
    k: int


class AboutBody(ResponseModel):
    """What this server is."""

    title: str
    model: str = Field(description="its name in /v1/models")
    version: str = Field(description="of convmodel")
    writes: bool = Field(description="whether replies, or documents, are written")
    chooses: bool = Field(description="whether replies are chosen")
    documents: bool = Field(description="whether /documents works")
    candidates: bool = Field(description="whether /candidates works")
    conversations: bool = Field(description="whether /conversations works")
    preset: str | None = Field(description="used where a request names none")
    presets: dict[str, dict[str, Any]]
    options: dict[str, Any] = Field(description="all in effect where a request says nothing")
    option_help: dict[str, str] = Field(description="what is allowed")
    limits: LimitsBody
    keys: bool = Field(description="whether a key is needed")
    policy: bool = Field(description="whether a policy is on")


@router.get("/about", summary="What this server is", response_model=AboutBody, responses=refusals())
async def about(service: TheService) -> Response:
    """The model, what it can do, the presets, every option with what is allowed, and the limits."""
    return json_response(_about(service))


def _about(service: Service) -> AboutBody:
    settings, talker = service.settings, service.talker
    of_talker = {} if talker is None else dict(talker.options)
    presets = {name: dict(options) for name, options in service.presets.items()}
    return AboutBody(
        title=service.title,
        model=service.model,
        version=convmodel.__version__,
        writes="do_sample" in of_talker,
        chooses=service.search is not None,
        documents=service.documents is not None,
        candidates=service.search is not None,
        conversations=service.store is not None,
        preset=service.preset,
        presets=presets,
        options={**of_talker, **resolve_options(service, None, None)},
        option_help=option_help(service),
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


def option_help(service: Service) -> dict[str, str]:
    """For each option of this server what is allowed."""
    left_out = set() if service.settings.beams else {"num_beams"}
    talker = service.talker
    found = {}
    for name, field in Options.model_fields.items():
        if name in left_out or talker is None:
            continue
        try:
            talker.check_options({name: None})
        except ValueError:
            continue
        found[name] = field.description or ""
    return found

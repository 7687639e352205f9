"""What a client sent in, what is asked of a Responder out: presets, defaults and limits are seen to here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from convmodel.responders.option_values import preset_options
from convmodel.serving.errors import APIError
from convmodel.serving.reply_jobs import ReplyRequest
from convmodel.serving.service import Service

OFF = "off"
"""The name that means no preset at all, where the server has one that is used otherwise."""


def build_reply_request(
    service: Service,
    *,
    context: Sequence[str],
    persona: Sequence[str] | None = None,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> ReplyRequest:
    """Puts a request together.

    Args:
        service: its defaults and limits.
        context: the turns so far.
        persona: sentences about the one who replies; the server's where there is none.
        preset: the server's where there is none, unless it is "off".
        options: on top of it.
        seed: see `Asked`.

    Raises:
        Refusal: 400 for what is more than is allowed, or a preset that there is not; names the field.
    """
    check_turns(service, context)
    persona = service.persona if persona is None else persona
    check_persona(service, persona)
    return ReplyRequest(context, persona, resolve_options(service, preset, options), seed)


def check_turns(service: Service, context: Sequence[str], *, param: str = "context") -> None:
    """Raises Refusal 400 for too many turns, or one that is too long."""
    settings = service.settings
    if len(context) > settings.turns:
        raise _too_much(param, f"there are {len(context):,} turns; {settings.turns:,} are allowed")
    for number, turn in enumerate(context):
        check_chars(turn, settings.turn_chars, param=f"{param}.{number}")


def check_persona(service: Service, persona: Iterable[str]) -> None:
    """Raises Refusal 400 for a persona that is too long."""
    check_chars("".join(persona), service.settings.persona_chars, param="persona")


def check_chars(text: str, most: int, *, param: str) -> None:
    """Raises Refusal 400 for a text that is too long."""
    if len(text) > most:
        raise _too_much(param, f"{param} has {len(text):,} characters; {most:,} are allowed")


def resolve_options(
    service: Service, preset: str | None, options: Mapping[str, Any] | None, *, documents: bool = False
) -> dict[str, Any]:
    """The options of the server, of a preset and of a request, as one, with no more than the server allows.

    Args:
        service: its presets and defaults, which are those of replies where it replies.
        preset, options: of the request.
        documents: whether they are for what writes documents.

    Raises:
        Refusal: 400 for a preset that there is not, and for options that ask for more than the server allows.
    """
    own = {name: value for name, value in (options or {}).items() if value is not None}
    check_options(service, own)
    writer = service.documents.writer if documents and service.documents is not None else None
    talker = service.talker if writer is None else writer
    usual = writer is None or writer is service.talker
    name = (service.preset if usual else None) if preset is None else None if preset == OFF else preset
    try:
        of_preset = preset_options(service.presets if writer is None else writer.presets, name)
    except ValueError as error:
        raise APIError(400, str(error), param="preset", code="invalid_value") from None
    defaults = {**of_preset, **service.options} if preset is None and usual else of_preset
    in_effect = {} if talker is None else {**talker.options, **defaults}
    less = {name: limit for name, limit in _most(service).items() if (in_effect.get(name) or 0) > limit}
    return {**defaults, **less, **own}


def check_options(service: Service, options: Mapping[str, Any]) -> None:
    """Raises Refusal 400 for options that ask for more than the server allows."""
    settings = service.settings
    for name, limit in _most(service).items():
        if options.get(name, 0) > limit:
            raise _too_much(f"options.{name}", f"{name}={options[name]}; this server allows 1 to {limit}")
    if options.get("num_beams", 1) > 1 and not settings.beams:
        raise APIError(
            400,
            "num_beams: this server searches no beams, which would hold everybody else up; leave it out",
            param="options.num_beams",
            code="unsupported_parameter",
        )


def _most(service: Service) -> dict[str, int]:
    """Options of which there may only be so much, in what is usual too."""
    settings = service.settings
    return {"max_new_tokens": settings.new_tokens, "num_return_sequences": settings.n, "num_candidates": settings.k}


def _too_much(param: str, message: str) -> APIError:
    return APIError(400, message, param=param, code="too_much")

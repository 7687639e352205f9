"""Checks of request bodies against the server's limits, and merging of their options with presets and defaults."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from convmodel.data.messages import MessageError, split_messages, split_persona
from convmodel.responders.protocol import DocumentGenerator, Names, Responder
from convmodel.responders.typed_input import preset_options
from convmodel.serving.errors import APIError
from convmodel.serving.service import Service
from convmodel.tokens.speakers import name_speakers

OFF = "off"
"""Name that selects no preset, instead of the server's default preset."""


def split_context(context: Sequence[str | None], persona: Iterable[str]) -> tuple[list[str], list[str]]:
    """Convert a context and a persona to the turns and persona sentences for a responder; see `split_messages`.

    Args:
        context: alternate turns, the last of which is the user's. An empty turn of the other side is left out.
        persona: texts about the replying side.

    Returns:
        The turns, and the sentences of the persona.

    Raises:
        APIError: 400 for an empty turn of the user.
    """
    sentences = [{"role": "system", "content": text} for text in persona]
    speakers = ("user", "assistant")
    turns = [{"role": speakers[index % 2], "content": text} for index, text in enumerate(reversed(context))]
    try:
        chat = split_messages([*sentences, *reversed(turns)])
    except MessageError as error:
        path = f"context[{(error.index or 0) - len(sentences)}]"
        raise APIError(400, f"{path}: {error.fault}", param=path, code="invalid_value") from None
    return chat.turns, chat.persona


def split_group(
    context: Sequence[str | None], persona: Iterable[str], speakers: Sequence[str] | None, speaker: str | None
) -> tuple[Sequence[str], list[str], Names]:
    """Convert a context with names of speakers to the turns, persona sentences and names for a responder.

    Args:
        context: turns in their order; empty turns are left out with their names.
        persona: texts about the replying speaker.
        speakers: the name of each turn's speaker.
        speaker: the name of the replying speaker. Without any names, this is `split_context`.

    Returns:
        The turns, the sentences of the persona, and the names; the names are empty if none are given.

    Raises:
        APIError: 400 for missing or invalid names.
    """
    if speakers is None and speaker is None:
        return *split_context(context, persona), {}
    try:
        turns = [text or "" for text in context]
        name_speakers(turns, speakers, speaker, keep=True)
        said = [(name, text) for name, text in zip(speakers or (), turns, strict=True) if text.strip()]
        names: Names = {"speakers": [name for name, _ in said], "speaker": speaker}
        name_speakers([text for _, text in said], **names, keep=True)
    except ValueError as error:
        raise APIError(400, str(error), param="speakers", code="invalid_value") from None
    return [text for _, text in said], [line for text in persona for line in split_persona(text)], names


def check_turns(service: Service, context: Sequence[str], *, param: str = "context") -> None:
    """Raise APIError 400 if there are too many turns, or a turn is too long."""
    _check_list(service, context, service.settings.turns, param=param, noun="turns")


def check_texts(service: Service, texts: Sequence[str], *, param: str) -> None:
    """Raise APIError 400 if there are too many texts to embed, rank or continue, or a text is too long."""
    _check_list(service, texts, service.settings.texts, param=param, noun="texts")


def check_number(texts: Sequence[str], max_count: int, *, param: str, noun: str) -> None:
    """Raise APIError 400 if there are more than `max_count` texts; the message names them by `noun`."""
    if len(texts) > max_count:
        raise _limit_exceeded(param, f"there are {len(texts):,} {noun}; {max_count:,} are allowed")


def _check_list(service: Service, texts: Sequence[str], max_count: int, *, param: str, noun: str) -> None:
    check_number(texts, max_count, param=param, noun=noun)
    for index, text in enumerate(texts):
        check_chars(text, service.settings.turn_chars, param=f"{param}[{index}]")


def check_persona(service: Service, persona: Iterable[str]) -> None:
    """Raise APIError 400 if the sentences of a persona are too long in total."""
    check_chars("".join(persona), service.settings.persona_chars, param="persona")


def check_chars(text: str, max_chars: int, *, param: str) -> None:
    """Raise APIError 400 if a text has more than `max_chars` characters."""
    if len(text) > max_chars:
        raise _limit_exceeded(param, f"{param} has {len(text):,} characters; {max_chars:,} are allowed")


def check_count(name: str, count: int, max_count: int) -> None:
    """Raise APIError 400 if the value of the field `name`, a number of replies or candidates, is above `max_count`."""
    if count > max_count:
        raise _limit_exceeded(name, f"{name}={count}; this server allows 1 to {max_count}")


def resolve_options(
    service: Service, preset: str | None, options: Mapping[str, Any] | None, *, documents: bool = False
) -> dict[str, Any]:
    """Merge the options of the server, of a preset and of a request; later ones override earlier ones.

    Defaults above the server's limits are lowered to the limits.

    Args:
        preset: name of the preset; None uses the server's default preset and options.
        options: options of the request.
        documents: whether the options are for the document writer. The server's default preset and options apply only
            to `Service.talker`.

    Raises:
        APIError: 400 for an unknown preset, and for options of the request above the server's limits.
    """
    requested = {name: value for name, value in (options or {}).items() if value is not None}
    check_options(service, requested)
    target = generator_of(service, documents=documents)
    presets = {} if target is None else target.presets
    uses_defaults = preset is None and target is service.talker
    preset_name = service.preset if uses_defaults else preset
    try:
        defaults = dict(preset_options(presets, None if preset_name == OFF else preset_name))
    except ValueError as error:
        raise APIError(400, str(error), param="preset", code="invalid_value") from None
    if uses_defaults:
        defaults |= service.options
    effective = {} if target is None else {**target.options, **defaults}
    limits = option_limits(service).items()
    lowered = {name: limit for name, limit in limits if (effective.get(name) or 0) > limit}
    return {**defaults, **lowered, **requested}


def generator_of(service: Service, *, documents: bool = False) -> Responder | DocumentGenerator | None:
    """Return `Service.talker`, or with `documents` the server's document writer if it has one."""
    return service.documents.writer if documents and service.documents is not None else service.talker


def supports(generator: Responder | DocumentGenerator | None, option: str) -> bool:
    """Return whether a model supports an option; False without a model."""
    try:
        if generator is not None:
            generator.check_options({option: None})
    except ValueError:
        return False
    return True


def check_options(service: Service, options: Mapping[str, Any]) -> None:
    """Raise APIError 400 for options above the server's limits, or for beam search if it is not allowed."""
    for name, limit in option_limits(service).items():
        if options.get(name, 0) > limit:
            raise _limit_exceeded(f"options.{name}", f"{name}={options[name]}; this server allows 1 to {limit}")
    if options.get("num_beams", 1) > 1 and not service.settings.beams:
        message = "num_beams: this server does not allow beam search, which delays all other replies; leave it out"
        raise APIError(400, message, param="options.num_beams", code="unsupported_parameter")


def option_limits(service: Service) -> dict[str, int]:
    """Return the server's maximum values of options; higher defaults are lowered, higher requests are rejected."""
    settings = service.settings
    return {"max_new_tokens": settings.new_tokens, "num_return_sequences": settings.n, "num_candidates": settings.k}


def _limit_exceeded(param: str, message: str) -> APIError:
    return APIError(400, message, param=param, code="too_much")

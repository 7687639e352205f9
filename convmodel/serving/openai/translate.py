"""Translation of OpenAI's requests to reply requests, and of replies to OpenAI's responses."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from convmodel.data.messages import ChatTurns, MessageError, split_messages, split_persona
from convmodel.data.sides import alternate
from convmodel.errors import PersonaTooLong
from convmodel.responders.protocol import BoundedGenerator, Names
from convmodel.serving.document_jobs import CheckedDocuments
from convmodel.serving.errors import APIError
from convmodel.serving.ignored_fields import Report
from convmodel.serving.openai.schemas import (
    ChatRequest,
    ChoiceMessage,
    DecodingFields,
    Extras,
    FinishReason,
    Message,
    ReasonedMessage,
    TokensDetails,
    Usage,
)
from convmodel.serving.reply_jobs import SEEDS, CheckedReply, ReplyRequest
from convmodel.serving.request_options import (
    check_chars,
    check_count,
    check_number,
    check_persona,
    generator_of,
    resolve_options,
    supports,
)
from convmodel.serving.schemas import MAX_SEED
from convmodel.serving.service import Service, require_replies
from convmodel.serving.thread_bridge import AsyncJob

MIN_TEMPERATURE = 0.01
"""Lower temperatures are replaced by greedy decoding; the results would differ only by numerical noise."""

MIN_TOP_P = 1e-9
"""Replacement of a top_p of 0; like 0, it keeps only the most likely token."""

FINISH_REASONS: dict[str, FinishReason] = dict(end="stop", stop="stop", length="length", filtered="content_filter")

OFF_VALUES = {
    "top_p": 1,
    "top_k": 0,
    "min_p": 0,
    "repetition_penalty": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
}
"""Values without effect of the fields that set an option of the same name."""


def convert_request(
    service: Service, body: ChatRequest, *, draw: Callable[[int], int], report: Report
) -> list[ReplyRequest]:
    """Convert a request to a reply request for each of its `n` choices, with consecutive seeds.

    Args:
        draw: function that draws a random integer below its argument, for a request without a seed.
        report: function that reports ignored fields.

    Raises:
        APIError: 400 for an invalid value; `param` names the field.
    """
    check_count("n", body.n or 1, service.settings.n)
    messages = turns_of(body.messages, speaker=body.speaker, report=report)
    if messages.skipped:
        report([f"messages ({messages.skipped} of tools)"])
    _check_turns(service, body.messages, messages.turns)
    for stop in stop_strings(body):
        check_chars(stop, service.settings.turn_chars, param="stop")
    check_persona(service, body.persona or ())
    options = resolve_options(service, body.preset, None if body.options is None else body.options.given())
    options |= decoding_options(service, body, options, report=report)
    given = [*(body.persona or ()), *messages.persona] or service.persona
    sentences = [line for text in given for line in split_persona(text)]
    persona = _newest_sentences(sentences, service.settings.persona_chars, report)
    names: Names = {}
    if messages.speakers is not None:
        names = {"speakers": messages.speakers, "speaker": body.speaker or _assistant_name(body.messages)}
    return [ReplyRequest(messages.turns, persona, options, seed, names=names) for seed in choice_seeds(body, draw)]


def _check_turns(service: Service, messages: Sequence[Message], turns: Sequence[str]) -> None:
    """Raise APIError 400 if there are too many turns, or a message of the user or the assistant is too long."""
    check_number(turns, service.settings.turns, param="messages", noun="turns")
    for index, message in enumerate(messages):
        if message.kind in ("user", "assistant"):
            check_chars(message.text, service.settings.turn_chars, param=f"messages[{index}].content")


def _newest_sentences(persona: Sequence[str], max_chars: int, report: Report) -> tuple[str, ...]:
    """Return the last sentences of a persona that have at most `max_chars` characters together; report the others."""
    dropped = len(persona)
    chars = 0
    while dropped and (chars := chars + len(persona[dropped - 1])) <= max_chars:
        dropped -= 1
    return _without_oldest(persona, dropped, report)


def _without_oldest(persona: Sequence[str], count: int, report: Report) -> tuple[str, ...]:
    if count:
        report([f"messages (the {count} oldest of {len(persona)} sentences of the system text)"])
    return tuple(persona[count:])


async def start_replies(
    service: Service, requests: Sequence[ReplyRequest], *, report: Report, **others: Any
) -> list[AsyncJob[CheckedReply]]:
    """Start replies, see `JobService.start`; shorten a persona that does not fit the model's window, and report this.

    The persona loses its oldest sentences. `others` are further arguments of `JobService.start`.
    """
    replies = require_replies(service)
    while True:
        try:
            return await replies.start(requests, **others)
        except APIError as error:
            persona = requests[0].persona
            if not persona or not isinstance(error.__cause__, PersonaTooLong):
                raise
            kept = _without_oldest(persona, len(persona) - error.__cause__.fitting, report)
        requests = [replace(request, persona=kept) for request in requests]


def choice_seeds(body: DecodingFields, draw: Callable[[int], int]) -> range:
    """Return the consecutive seeds of the choices; raise APIError 400 if the last seed would be above `MAX_SEED`."""
    n = body.n or 1
    first_seed = draw(SEEDS) if body.seed is None or body.seed < 0 else body.seed
    if first_seed + n - 1 > MAX_SEED:
        raise _invalid("seed", f"seed={first_seed}; with n={n} it may be {MAX_SEED - n + 1} at most")
    return range(first_seed, first_seed + n)


def turns_of(messages: Sequence[Message], *, speaker: str | None, report: Report) -> ChatTurns:
    """Convert messages to turns and a persona; see `convmodel.data.messages.split_messages`.

    In a group (more than two names), the turns keep the names of their speakers. In a conversation of two, names have
    no effect, and are reported as ignored.

    Args:
        speaker: name of the replying assistant; None uses the name in the assistant's last message with a name.
        report: function that reports ignored fields.

    Raises:
        APIError: 400 for an invalid message, or if there is no turn to reply to.
    """
    try:
        turns = split_messages(_named_fields(messages, speaker), named=True)
    except MessageError as error:
        path = "messages" if error.index is None else f"messages[{error.index}]"
        path = f"{path}.{error.field}" if error.field else path
        raise _invalid(path, f"{path}: {error.fault}") from None
    if not turns.turns:
        raise _invalid("messages", "there must be a message of the user or of the assistant to reply to")
    if turns.speakers is None:
        named = [f"messages[{index}].name" for index, message in enumerate(messages) if message.name]
        report([*named[:1], *(["speaker"] if speaker else [])])
        return turns
    reply_as = speaker or _assistant_name(messages)
    if turns.speakers[-1] != reply_as:
        return turns
    return turns._replace(turns=[*alternate(turns.turns, turns.speakers, reply_as)], speakers=None)


def _named_fields(messages: Sequence[Message], speaker: str | None) -> list[dict[str, Any]]:
    """Return the fields of messages; the assistant's messages without a name get the name of the replying assistant."""
    fields = [message.fields() for message in messages]
    name = speaker or _assistant_name(messages)
    return [
        each | {"name": each["name"] or (name if message.kind == "assistant" else None)}
        for each, message in zip(fields, messages, strict=True)
    ]


def _assistant_name(messages: Sequence[Message]) -> str:
    """Return the name in the last assistant message that has a name; "assistant" if no such message exists."""
    names = (message.name for message in reversed(messages) if message.kind == "assistant")
    return next(filter(None, names), "assistant")


def decoding_options(
    service: Service, body: DecodingFields, options: Mapping[str, Any], *, report: Report, documents: bool = False
) -> dict[str, Any]:
    """Return the options that OpenAI's fields set, which override `options`.

    A field is reported as ignored if the model does not support its option, such as the temperature of a responder that
    only selects replies.

    Args:
        options: options of the server, the preset and the request.
        report: function that reports ignored fields.
        documents: whether the options are for the document writer.
    """
    generator = generator_of(service, documents=documents)
    effective = {**({} if generator is None else generator.options), **options}
    changes: dict[str, Any] = {}
    fields = chain(_sampling_options(body, effective), _limit_options(service, body, report, documents=documents))
    for field, values in fields:
        if all(supports(generator, name) for name in values):
            changes |= values
        else:
            report([field])
    return changes


def _sampling_options(body: DecodingFields, effective: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each sampling field with the options that it sets.

    A value without effect, such as top_p=1, is yielded only if it changes an option.

    Args:
        effective: the options that apply without the fields.
    """
    if body.temperature is not None and body.temperature < MIN_TEMPERATURE:
        one = {"num_return_sequences": 1} if (effective.get("num_return_sequences") or 1) > 1 else {}
        yield "temperature", {"do_sample": False, **one}  # greedy decoding returns only one sequence
    elif body.temperature is not None:
        yield "temperature", {"do_sample": True, "temperature": body.temperature}
    for name, off in OFF_VALUES.items():
        value = getattr(body, name)
        if value is not None:
            value = max(value, {"top_k": 0, "top_p": MIN_TOP_P}.get(name, value))
            if value != off or effective.get(name, off) not in (None, off):
                yield name, {name: value}
    if stops := stop_strings(body):
        yield "stop", {"stop_strings": stops}


def _limit_options(
    service: Service, body: DecodingFields, report: Report, *, documents: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the field with the lower maximum of new tokens, and the option `max_new_tokens` that it sets.

    The maximum is lowered to the limits of the server and of the model's window; this is reported.
    """
    limits = {name: getattr(body, name) for name in ("max_tokens", "max_completion_tokens")}
    limits = {name: limit for name, limit in limits.items() if limit is not None and limit > 0}
    if not limits:
        return
    name = min(limits, key=lambda field: limits[field])
    generator = generator_of(service, documents=documents)
    allowed = min(limits[name], service.settings.new_tokens)
    if isinstance(generator, BoundedGenerator):
        allowed = generator.clamp_new_tokens(allowed)
    if allowed < limits[name]:
        report([f"{name} (above {allowed})"])
    yield name, {"max_new_tokens": allowed}


def stop_strings(body: DecodingFields) -> list[str]:
    """Return the stop strings of a request, without empty ones."""
    return [*filter(None, [body.stop] if isinstance(body.stop, str) else body.stop or ())]


def convert_finish_reason(reply: CheckedReply | CheckedDocuments) -> FinishReason:
    """Return OpenAI's finish reason of a reply or a document.

    Raises:
        APIError: 503 for a text that the server cancelled, since OpenAI's API has no finish reason for this.
    """
    if reply.finish not in FINISH_REASONS:
        raise APIError(503, "the reply was cancelled before it was complete", code="cancelled")
    return FINISH_REASONS[reply.finish]


def build_message(reply: CheckedReply) -> ChoiceMessage:
    """Return the message of a choice; it includes the reasoning if the model wrote any."""
    if reasoning := reply.reply.reasoning:
        return ReasonedMessage(content=reply.text, reasoning_content=reasoning)
    return ChoiceMessage(content=reply.text)


def build_extras(reply: CheckedReply) -> Extras:
    """Return convmodel's additional fields of a choice."""
    fields = {name: getattr(reply.reply, name, None) for name in Extras.model_fields}
    fields |= {"candidates": len(reply.reply.candidates), "blocked": reply.blocked is not None}
    return Extras.model_validate(fields)


def build_usage(texts: Iterable[CheckedReply | CheckedDocuments], n: int) -> Usage:
    """Return the token counts of a request.

    The context or prompt of `n` consecutive texts is the same, and its tokens are counted once.
    """
    counts = [text.counts for text in texts]
    read = sum(count[0] for count in counts[::n])
    written = sum(count[1] for count in counts)
    details = TokensDetails(cached_tokens=sum(count[2] for count in counts[::n]))
    return Usage(
        prompt_tokens=read, completion_tokens=written, total_tokens=read + written, prompt_tokens_details=details
    )


def _invalid(param: str, message: str) -> APIError:
    return APIError(400, message, param=param, code="invalid_value")

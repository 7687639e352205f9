"""Translate OpenAI's requests to reply requests, and replies to OpenAI's responses."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from convmodel.serving.errors import APIError
from convmodel.serving.openai.schemas import (
    ChatRequest,
    DecodingFields,
    Extras,
    FinishReason,
    Message,
    TokensDetails,
    Usage,
)
from convmodel.serving.reply_jobs import SEEDS, CheckedReply, CheckedText, ReplyRequest
from convmodel.serving.request_options import check_chars, check_count, check_persona, check_turns, resolve_options
from convmodel.serving.schemas import MAX_SEED
from convmodel.serving.service import Service

MIN_TEMPERATURE = 0.01
"""Lower temperatures are replaced by greedy decoding, from which they differ only by numerical noise."""

FINISH_REASONS: dict[str, FinishReason] = dict(end="stop", stop="stop", length="length", filtered="content_filter")


def convert_request(service: Service, body: ChatRequest, *, draw: Callable[[int], int]) -> list[ReplyRequest]:
    """Return a reply request for each of the `n` choices, with consecutive seeds; `draw` draws one below its argument.

    Raises:
        APIError: 400, with the name of the field; 404 for another model.
    """
    check_model(service, body.model)
    check_count("n", body.n or 1, service.settings.n)
    persona, context = split_messages(body.messages)
    persona = (*(body.persona or ()), *persona)
    check_turns(service, context, param="messages")
    for stop in stop_strings(body):
        check_chars(stop, service.settings.turn_chars, param="stop")
    if persona:
        check_persona(service, persona)
    options = resolve_options(service, body.preset, None if body.options is None else body.options.given())
    options |= decoding_options(service, body, options)
    persona = persona or tuple(service.persona)
    return [ReplyRequest(context, persona, options, seed) for seed in choice_seeds(body, draw)]


def choice_seeds(body: DecodingFields, draw: Callable[[int], int]) -> range:
    """Return the consecutive seeds of the choices; raise APIError 400 if one of them is too large."""
    n = body.n or 1
    first_seed = draw(SEEDS) if body.seed is None else body.seed
    if first_seed + n - 1 > MAX_SEED:
        raise _invalid("seed", f"seed={first_seed}; with n={n} it may be {MAX_SEED - n + 1} at most")
    return range(first_seed, first_seed + n)


def check_model(service: Service, name: str) -> None:
    """Raise APIError 404 for a name that is not the model's."""
    if name != service.model:
        message = f"there is no model of this name; this server has {service.model!r}"
        raise APIError(404, message, param="model", code="model_not_found")


def split_messages(messages: Sequence[Message]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the persona and the context of a list of messages.

    Each line of a system or developer message is a sentence of the persona. Consecutive messages of one role are joined
    to one turn.

    Raises:
        APIError: 400 if there is no turn to reply to.
    """
    persona: list[str] = []
    turns: list[tuple[str, str]] = []
    for message in messages:
        if message.role in ("system", "developer"):
            persona += filter(None, map(str.strip, message.text().splitlines()))
        elif turns and turns[-1][0] == message.role:
            turns[-1] = (message.role, f"{turns[-1][1]}\n{message.text()}")
        else:
            turns.append((message.role, message.text()))
    if not turns:
        raise _invalid("messages", "there must be a message of the user or of the assistant to reply to")
    return tuple(persona), tuple(text for _, text in turns)


def decoding_options(service: Service, body: DecodingFields, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that OpenAI's fields set on top of `options`.

    A field whose value is OpenAI's default (top_p=1, a penalty of 0) sets an option only if `options` has it, because
    responders that do not support the option would reject it.
    """
    changes: dict[str, Any] = {}
    if body.temperature is not None and body.temperature < MIN_TEMPERATURE:
        changes["do_sample"] = False
        if service.talker is not None and {**service.talker.options, **options}.get("num_return_sequences", 1) > 1:
            changes["num_return_sequences"] = 1  # greedy decoding gives only one
    elif body.temperature is not None:
        changes |= {"do_sample": True, "temperature": body.temperature}
    if body.top_p is not None and (body.top_p < 1 or "top_p" in options):
        changes["top_p"] = body.top_p
    for name in ("frequency_penalty", "presence_penalty"):
        value = getattr(body, name)
        if value is not None and (value or name in options):
            changes[name] = value
    if stops := stop_strings(body):
        changes["stop_strings"] = stops
    for name in ("max_tokens", "max_completion_tokens"):  # the lower one applies
        limit = getattr(body, name)
        if limit is not None:
            if limit > service.settings.new_tokens:
                raise _invalid(name, f"{name}={limit}; this server writes 1 to {service.settings.new_tokens} tokens")
            changes["max_new_tokens"] = min(limit, changes.get("max_new_tokens", limit))
    return changes


def stop_strings(body: DecodingFields) -> list[str]:
    """Return the strings before which a text ends."""
    return [body.stop] if isinstance(body.stop, str) else list(body.stop or ())


def convert_finish_reason(reply: CheckedText) -> FinishReason:
    """Return OpenAI's finish reason of a reply or a document.

    Raises:
        APIError: 503 for a reply that the server cancelled, for which OpenAI's API has no finish reason.
    """
    if reply.finish not in FINISH_REASONS:
        raise APIError(503, "the reply was ended before it was over", code="cancelled")
    return FINISH_REASONS[reply.finish]


def build_extras(reply: CheckedReply) -> Extras:
    """Return convmodel's additional fields of a choice."""
    fields = {name: getattr(reply.reply, name, None) for name in Extras.model_fields}
    fields |= {"candidates": len(reply.reply.candidates), "blocked": reply.blocked is not None}
    return Extras.model_validate(fields)


def build_usage(replies: Iterable[CheckedReply]) -> Usage:
    """Return the token counts of a request. The context counts once, independent of the number of choices."""
    inner = [reply.reply for reply in replies]
    read = inner[0].context_tokens
    written = sum(reply.reply_tokens for reply in inner)
    counts = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return Usage(**counts, prompt_tokens_details=TokensDetails(cached_tokens=inner[0].cached_tokens))


def _invalid(param: str, message: str) -> APIError:
    return APIError(400, message, param=param, code="invalid_value")

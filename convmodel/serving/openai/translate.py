"""A request as OpenAI has it in, what is asked of a Responder out; and the answers back."""

from collections.abc import Iterable, Sequence
from typing import Any

from convmodel.serving.errors import APIError
from convmodel.serving.openai.schemas import ChatRequest, Extras, FinishReason, Message, TokensDetails, Usage
from convmodel.serving.reply_jobs import SEEDS, CheckedReply, ReplyRequest
from convmodel.serving.request_options import check_chars, check_persona, check_turns, resolve_options
from convmodel.serving.schemas import MOST_SEED
from convmodel.serving.service import Service

COLDEST = 0.01
"""Temperatures below this one are greedy all but in name."""

FINISHES: dict[str, FinishReason] = {
    "end": "stop",
    "stop": "stop",
    "length": "length",
    "filtered": "content_filter",
}


def requests(service: Service, body: ChatRequest, *, draw: Any) -> list[ReplyRequest]:
    """What is asked for, once for each choice, with seeds that follow each other.

    Args:
        service: its model, defaults and limits.
        body: of the request.
        draw: gives a seed where there is none, below a number.

    Raises:
        Refusal: 400, with the field; 404 for another model.
    """
    check_model(service, body.model)
    n = body.n or 1
    if n > service.settings.n:
        raise APIError(400, f"n={n}; this server allows 1 to {service.settings.n}", param="n", code="too_much")
    persona, context = split(body.messages)
    persona = (*(body.persona or ()), *persona)
    check_turns(service, context, param="messages")
    for stop in _stops(body):
        check_chars(stop, service.settings.turn_chars, param="stop")
    if persona:
        check_persona(service, persona)
    options = resolve_options(service, body.preset, None if body.options is None else body.options.given())
    options |= _decoding(service, body, options)
    first = draw(SEEDS) if body.seed is None else body.seed
    if first + n - 1 > MOST_SEED:
        raise _wrong("seed", f"seed={first}; with n={n} it may be {MOST_SEED - n + 1} at most")
    persona = persona or tuple(service.persona)
    return [ReplyRequest(context, persona, options, first + k) for k in range(n)]


def check_model(service: Service, name: str) -> None:
    """Raises Refusal 404 for a model that is not the one that there is."""
    if name != service.model:
        raise APIError(
            404,
            f"there is no model of this name; this server has {service.model!r}",
            param="model",
            code="model_not_found",
        )


def split(messages: Sequence[Message]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Persona and context of messages.

    Raises:
        Refusal: 400 where there is nothing to reply to.
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
        raise _wrong("messages", "there must be a message of the user or of the assistant that can be replied to")
    return tuple(persona), tuple(text for _, text in turns)


def _decoding(service: Service, body: ChatRequest, options: dict[str, Any]) -> dict[str, Any]:
    """The options that the fields of OpenAI's come to; `options` are those that they stand on."""
    found: dict[str, Any] = {}
    if body.temperature is not None and body.temperature < COLDEST:
        found["do_sample"] = False
        if service.talker is not None and {**service.talker.options, **options}.get("num_return_sequences", 1) > 1:
            found["num_return_sequences"] = 1  # greedily there is only one
    elif body.temperature is not None:
        found |= {"do_sample": True, "temperature": body.temperature}
    if body.top_p is not None and (body.top_p < 1 or "top_p" in options):
        found["top_p"] = body.top_p
    for name in ("frequency_penalty", "presence_penalty"):
        value = getattr(body, name)
        if value is not None and (value or name in options):
            found[name] = value
    if stops := _stops(body):
        found["stop_strings"] = stops
    limit = _limit(service, body)
    return found if limit is None else {**found, "max_new_tokens": limit}


def _stops(body: ChatRequest) -> list[str]:
    return [body.stop] if isinstance(body.stop, str) else list(body.stop or ())


def _limit(service: Service, body: ChatRequest) -> int | None:
    """Tokens of a reply at most, if the request says: where it says so twice, both hold."""
    given = [(name, getattr(body, name)) for name in ("max_tokens", "max_completion_tokens")]
    limits = [(name, value) for name, value in given if value is not None]
    for name, value in limits:
        if value > service.settings.new_tokens:
            raise _wrong(name, f"{name}={value}; this server writes 1 to {service.settings.new_tokens} tokens")
    return min((value for _, value in limits), default=None)


def finish_reason(answer: CheckedReply) -> FinishReason:
    """Why a reply is over.

    Raises:
        Refusal: 503 for one that was ended by the server, for which there is no name.
    """
    if answer.finish not in FINISHES:
        raise APIError(503, "the reply was ended before it was over", code="cancelled")
    return FINISHES[answer.finish]


def extras(answer: CheckedReply) -> Extras:
    """What else is known."""
    reply = answer.reply
    return Extras(
        seed=reply.seed,
        window=reply.window,
        turns_dropped=reply.turns_dropped,
        tokens_dropped=reply.tokens_dropped,
        candidates=len(reply.candidates),
        blocked=answer.blocked is not None,
    )


def usage(answers: Iterable[CheckedReply]) -> Usage:
    """Tokens of one request: the context counts once, however many replies there are."""
    replies = [answer.reply for answer in answers]
    read, written = replies[0].context_tokens, sum(reply.reply_tokens for reply in replies)
    cached = TokensDetails(cached_tokens=replies[0].cached_tokens)
    return Usage(
        prompt_tokens=read, completion_tokens=written, total_tokens=read + written, prompt_tokens_details=cached
    )


def _wrong(param: str, message: str) -> APIError:
    return APIError(400, message, param=param, code="invalid_value")

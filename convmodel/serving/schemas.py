"""The bodies that several addresses share: what may be in them, and what it means."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from convmodel.responders.protocol import Candidate, Reply
from convmodel.serving.reply_jobs import Blocked, CheckedReply

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
"""A text that is not empty, nor only white space."""

MOST_SEED = 2**53 - 1
"""Every number up to this one is the same in every language."""

Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]


class RequestModel(BaseModel):
    """What is sent to us: exactly the fields that there are, each of its own type."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        """JSON has one kind of number: 3.0 is 3."""
        return int(value) if isinstance(value, float) and value.is_integer() else value


class ResponseModel(BaseModel):
    """What we send."""

    model_config = ConfigDict(ser_json_inf_nan="null")


class Options(RequestModel):
    """How replies are written and chosen; every one may be left out or null, and is then as the server has it."""

    do_sample: bool | None = Field(None, description="true draws each token, false takes the likeliest")
    temperature: float | None = Field(None, ge=0.01, le=100, description="0.01 to 100; below 1 is more certain")
    top_k: int | None = Field(None, ge=0, le=1_000_000, description="0 (off) to 1000000: tokens that may be drawn")
    top_p: float | None = Field(None, gt=0, le=1, description="above 0, to 1 (off): probability that may be drawn")
    min_p: float | None = Field(None, ge=0, le=1, description="0 (off) to 1: of the likeliest token's probability")
    typical_p: float | None = Field(
        None, gt=0, le=1, description="above 0, to 1 (off): typical probability to draw from"
    )
    repetition_penalty: float | None = Field(None, ge=0.1, le=10, description="0.1 to 10; 1 is off")
    frequency_penalty: float | None = Field(
        None, ge=-2, le=2, description="-2 to 2; what a token loses for each time that the reply holds it"
    )
    presence_penalty: float | None = Field(
        None, ge=-2, le=2, description="-2 to 2; what a token loses once the reply holds it"
    )
    no_repeat_ngram_size: int | None = Field(None, ge=0, le=1000, description="0 (off) to 1000")
    no_repeat_context_ngram_size: int | None = Field(
        None, ge=0, le=1000, description="0 (off) to 1000: runs that stand in any turn are not written again"
    )
    self_repetition_penalty: float | None = Field(
        None, ge=0, le=100, description="0 (off) to 100: what a token loses that goes on with what was said before"
    )
    max_new_tokens: int | None = Field(None, ge=1, le=1_000_000, description="from 1 to the server's limit")
    min_new_tokens: int | None = Field(None, ge=0, le=1_000_000, description="from 0")
    num_return_sequences: int | None = Field(
        None, ge=1, le=1_000_000, description="from 1 to the server's limit: replies of which the best is taken"
    )
    num_beams: int | None = Field(None, ge=1, le=64, description="1 to 64, where the server allows beams")
    stop_strings: str | list[Annotated[str, StringConstraints(min_length=1, max_length=200)]] | None = Field(
        None, max_length=200, description="a text, or a list of texts, before which a reply ends"
    )
    bad_words: list[Annotated[str, StringConstraints(min_length=1, max_length=200)]] | None = Field(
        None, max_length=200, description="texts that are not written"
    )
    num_candidates: int | None = Field(None, ge=1, le=1000, description="1 to 1000: candidates that a reply holds")
    allow_repeats: bool | None = Field(None, description="whether what was said may be chosen again")
    selection_temperature: float | None = Field(
        None, ge=0, le=1e6, description="0 takes the best candidate, above it is drawn by the scores"
    )

    def given(self) -> dict[str, Any]:
        """Those that say something."""
        return self.model_dump(exclude_none=True)


class ErrorDetail(ResponseModel):
    """What is wrong."""

    message: str = Field(description="what came, what is allowed, what to do", examples=["n: give 1 to 8"])
    type: str = Field(description="the kind", examples=["invalid_request_error"])
    param: str | None = Field(description="the field that it is about", examples=["n"])
    code: str | None = Field(description="names the case for a program", examples=["invalid_value"])


class ErrorBody(ResponseModel):
    """The one shape of every error."""

    error: ErrorDetail


class BlockedBody(ResponseModel):
    """Why something else is said."""

    side: Literal["input", "output"]
    by: str = Field(description="words or classifier")
    label: str | None = Field(description="that the classifier gave")

    @classmethod
    def of(cls, blocked: Blocked) -> "BlockedBody":
        return cls(side=blocked.side, by=blocked.by, label=blocked.label)


class CandidateBody(ResponseModel):
    """A text that could be the reply."""

    text: str
    score: float | None = Field(description="what decided, higher is better; null where nothing was compared")
    source: Literal["written", "chosen", "both"]
    number: int | None = Field(description="of the candidate that was chosen, among all that there are")
    metadata: dict[str, Any] | None = Field(description="what is known of that candidate")
    scores: dict[str, float] = Field(description="what the stages before had found")
    finish: Literal["end", "stop", "length", "cancelled"]
    tokens: int = Field(description="that were written for it")

    @classmethod
    def of(cls, candidate: Candidate) -> "CandidateBody":
        return cls(
            text=candidate.text,
            score=candidate.score,
            source=candidate.source,
            number=candidate.number,
            metadata=_dict(candidate.metadata),
            scores=dict(candidate.scores),
            finish=candidate.finish,
            tokens=candidate.tokens,
        )


class ReplyBody(ResponseModel):
    """A reply with all that is known of it."""

    text: str
    finish: Literal["end", "stop", "length", "cancelled", "filtered"] = Field(
        description="the turn ended, a stop string came, there was no room for more, it was stopped, it is not said"
    )
    candidates: list[CandidateBody] = Field(description="the reply is the first")
    context_tokens: int = Field(description="of persona and context, as they were read")
    reply_tokens: int
    cached_tokens: int = Field(description="of the context, that did not have to be computed again")
    window: int = Field(description="tokens that context and reply share; 0 where there is no window")
    turns_dropped: int = Field(description="oldest turns that were left out to fit it")
    tokens_dropped: int = Field(description="of those turns, and of a newest one that alone is too long")
    seconds: float
    first_seconds: float = Field(description="until the first token")
    seed: int | None = Field(description="with it the same request gives the same reply; null where nothing was drawn")
    ranked_by: str = Field(description="what gave the candidates their scores; empty where nothing was compared")
    blocked: BlockedBody | None

    @classmethod
    def of(cls, answer: CheckedReply) -> "ReplyBody":
        reply: Reply = answer.reply
        return cls(
            text=answer.text,
            finish=answer.finish,  # type: ignore[arg-type]
            candidates=[CandidateBody.of(each) for each in reply.candidates],
            context_tokens=reply.context_tokens,
            reply_tokens=reply.reply_tokens,
            cached_tokens=reply.cached_tokens,
            window=reply.window,
            turns_dropped=reply.turns_dropped,
            tokens_dropped=reply.tokens_dropped,
            seconds=reply.seconds,
            first_seconds=reply.first_seconds,
            seed=reply.seed,
            ranked_by=reply.ranked_by,
            blocked=None if answer.blocked is None else BlockedBody.of(answer.blocked),
        )


def _dict(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else dict(value)


REASONS = {
    400: "The request cannot be followed; `param` names the field.",
    401: "A key is needed, or this one is not known.",
    403: "The server is not to be called by this name, or from this page.",
    404: "There is no such thing.",
    408: "The body did not come in time.",
    409: "It does not go with what there is now; `code` says how.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "Too many requests, or the server has too much to do; come again after `Retry-After` seconds.",
    500: "Something went wrong in the server; its log says what, under the id of `X-Request-Id`.",
    503: "The server is ending.",
    504: "It took longer than is allowed.",
}
"""What the statuses of errors mean."""

OF_ANY = (400, 401, 403, 408, 413, 429, 500)
"""Statuses with which any request may be refused."""


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: how it may be refused, beside `OF_ANY`."""
    return {status: {"model": ErrorBody, "description": REASONS[status]} for status in sorted({*OF_ANY, *statuses})}


MAKING = (415, 503, 504)
"""Statuses with which something that is made may be refused."""


def streamed(of: type[BaseModel], told: str, *names: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can stream.

    Args:
        of: what the answer in one piece is.
        told: what comes when.
        names: of the events; none where they have no names.
    """
    event: dict[str, Any] = {"data": {"type": "string", "contentMediaType": "application/json"}}
    if names:
        event["event"] = {"enum": list(names)}
    schema = {"type": "object", "description": told, "properties": event, "required": sorted(event)}
    content = {"text/event-stream": {"schema": schema}}
    return {200: {"model": of, "description": "The whole, or a stream of events.", "content": content}}

"""Bodies of requests and responses that several routers share."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from convmodel.serving.reply_jobs import CheckedReply

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
"""A text with at least one character that is not white space."""

StopString = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""A text at which a reply ends, or a text that is never generated."""

UserId = Annotated[str, StringConstraints(max_length=512)]
"""Id of an end user, given by a client that serves several users with one API key."""

MAX_SEED = 2**53 - 1
"""The largest seed: the largest integer that all JSON parsers represent exactly."""

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class RequestModel(BaseModel):
    """Base of request bodies: unknown fields and implicit type conversions are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _convert_integral(cls, value: Any) -> Any:
        """Convert floats with integral values to integers, since JSON does not distinguish 3.0 from 3."""
        return int(value) if isinstance(value, float) and value.is_integer() else value


def example(**fields: Any) -> ConfigDict:
    """Return the pydantic configuration that adds an example with these fields to the schema of a request body."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class ResponseModel(BaseModel):
    """Base of response bodies; `model_validate` also accepts an object with attributes of the same names."""

    model_config = ConfigDict(ser_json_inf_nan="null", from_attributes=True)


class Options(RequestModel):
    """Options of generation and selection. An option that is omitted or null has the server's default value."""

    do_sample: bool | None = Field(None, description="true samples each token, false takes the most likely one")
    temperature: float | None = Field(None, ge=0.01, le=100, description="0.01 to 100; below 1 favours likely tokens")
    top_k: int | None = Field(
        None, ge=0, le=1_000_000, description="0 (off) to 1000000: most likely tokens to sample from"
    )
    top_p: float | None = Field(None, gt=0, le=1, description="above 0, to 1 (off): probability mass to sample from")
    min_p: float | None = Field(
        None, ge=0, le=1, description="0 (off) to 1: minimum probability, relative to the top token"
    )
    typical_p: float | None = Field(
        None, gt=0, le=1, description="above 0, to 1 (off): mass of typical tokens to sample from"
    )
    repetition_penalty: float | None = Field(None, ge=0.1, le=10, description="0.1 to 10; 1 is off")
    frequency_penalty: float | None = Field(
        None, ge=-2, le=2, description="-2 to 2; subtracted from a token's logit for each occurrence in the reply"
    )
    presence_penalty: float | None = Field(
        None, ge=-2, le=2, description="-2 to 2; subtracted from a token's logit once it occurs in the reply"
    )
    no_repeat_ngram_size: int | None = Field(None, ge=0, le=1000, description="0 (off) to 1000")
    no_repeat_context_ngram_size: int | None = Field(
        None, ge=0, le=1000, description="0 (off) to 1000: n-grams of this size in the context are not repeated"
    )
    self_repetition_penalty: float | None = Field(
        None,
        ge=0,
        le=100,
        description="0 (off) to 100; penalty of tokens that continue a repetition of the speaker's turns",
    )
    max_new_tokens: int | None = Field(None, ge=1, le=1_000_000, description="from 1 to the server's limit")
    min_new_tokens: int | None = Field(None, ge=0, le=1_000_000, description="from 0")
    num_return_sequences: int | None = Field(
        None, ge=1, le=1_000_000, description="from 1 to the server's limit: replies to generate; the best is returned"
    )
    num_beams: int | None = Field(None, ge=1, le=64, description="1 to 64, where the server allows beams")
    stop_strings: str | list[StopString] | None = Field(
        None, max_length=200, description="a text, or a list of texts; the reply ends before the first of them"
    )
    bad_words: list[StopString] | None = Field(None, max_length=200, description="texts that are never generated")
    num_candidates: int | None = Field(None, ge=1, le=1000, description="1 to 1000: candidates of a selected reply")
    allow_repeats: bool | None = Field(None, description="whether a text of the context may be selected again")
    selection_temperature: float | None = Field(
        None, ge=0, le=1e6, description="0 takes the best candidate; above 0 a candidate is sampled by its score"
    )
    min_score: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] | None = Field(
        None, description="0 (off) to 1, or auto: the smallest probability that a selected reply is correct"
    )

    def given(self) -> dict[str, Any]:
        """Return the options that are not null, by name."""
        return self.model_dump(exclude_none=True)


class ErrorDetail(ResponseModel):
    """Details of an error."""

    message: str = Field(description="the value, the allowed values, and the remedy", examples=["n: give 1 to 8"])
    type: str = Field(description="the category of the error", examples=["invalid_request_error"])
    param: str | None = Field(description="the field with the error", examples=["n"])
    code: str | None = Field(description="identifier of the error for programs", examples=["invalid_value"])


class ErrorBody(ResponseModel):
    """The format of all errors."""

    error: ErrorDetail


class MessageErrorBody(ErrorBody):
    """The format of errors of Cohere's API, which repeats the message of the error at the top level."""

    message: str


class BlockedBody(ResponseModel):
    """The reason why the policy blocked a text and replaced the reply."""

    side: Literal["input", "output"]
    by: str = Field(description="the check: words or classifier")
    label: str | None = Field(description="the label given by the classifier")


class CandidateBody(ResponseModel):
    """A generated or selected candidate for the reply."""

    text: str
    score: float | None = Field(
        description="the score by which the candidates are ranked, higher is better; null without ranking"
    )
    source: Literal["written", "chosen", "both", "fallback"]
    number: int | None = Field(description="the index of a selected candidate in the server's candidates")
    metadata: dict[str, Any] | None = Field(description="metadata of a selected candidate")
    scores: dict[str, float] = Field(description="scores of the earlier stages, and the addends of a fused score")
    finish: Literal["end", "stop", "length", "cancelled"]
    tokens: int = Field(description="number of generated tokens")


class ReplyBody(ResponseModel):
    """A reply with its candidates, its token counts and its times."""

    text: str
    finish: Literal["end", "stop", "length", "cancelled", "filtered"] = Field(
        description="end of the turn, stop string, length limit, cancellation, or replacement by the policy"
    )
    candidates: list[CandidateBody] = Field(description="best first; the first one is the reply")
    context_tokens: int = Field(description="tokens of the persona and the context in the model's input")
    reply_tokens: int
    cached_tokens: int = Field(description="tokens of the context that were read from the cache")
    window: int = Field(description="maximum tokens of context and reply together; 0 for models without a limit")
    turns_dropped: int = Field(description="number of oldest turns left out to fit the window")
    tokens_dropped: int = Field(
        description="number of tokens left out: those of dropped turns, and those that exceed the window if the last "
        "turn is too long by itself"
    )
    seconds: float
    first_seconds: float = Field(description="seconds until the first token")
    seed: int | None = Field(description="reproduces the reply with the same request; null if nothing was sampled")
    ranked_by: str = Field(description="the method that scored the candidates; empty without ranking")
    confidence: float | None = Field(
        description="probability that the best selected candidate is correct; null if the selector is not calibrated"
    )
    min_score: float | None = Field(
        description="smallest confidence of a selected reply; below it, the reply has the source fallback or written"
    )
    blocked: BlockedBody | None

    @classmethod
    def of(cls, answer: CheckedReply) -> "ReplyBody":
        fields = {name: getattr(answer.reply, name, None) for name in cls.model_fields}
        fields |= {"text": answer.text, "finish": answer.finish, "blocked": answer.blocked}
        return cls.model_validate(fields)


REASONS = {
    400: "The request is invalid; `param` names the field.",
    401: "The API key is missing or unknown.",
    403: "The server does not answer to this host name, or to pages of this origin.",
    404: "The resource does not exist, or this server does not provide it.",
    408: "The body did not arrive in time.",
    409: "The request conflicts with the current state; `code` is the reason.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "Too many requests, or the server is overloaded; retry after `Retry-After` seconds.",
    500: "Internal error; the server's log has the details, under the id in `X-Request-Id`.",
    503: "The server is shutting down, or a part of it is unavailable.",
    504: "The deadline was exceeded.",
}
"""Descriptions of the error statuses in the OpenAPI description."""

COMMON_STATUSES = (400, 401, 403, 408, 413, 429, 500)
"""Error statuses that any route may return."""


def error_responses(*statuses: int, model: type[BaseModel] = ErrorBody) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's `responses` of a route for these error statuses and `COMMON_STATUSES`; `model` is their body."""
    return {
        status: {"model": model, "description": REASONS[status]} for status in sorted({*COMMON_STATUSES, *statuses})
    }


JOB_STATUSES = (415, 503, 504)
"""Further error statuses of routes that start jobs."""


def stream_responses(
    model: type[BaseModel],
    description: str,
    *names: str,
    statuses: Sequence[int] = (400, 404),
    error: type[BaseModel] = ErrorBody,
) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's `responses` of a route that starts a job and returns its result or streams events.

    Args:
        model: body of the complete result.
        description: description of the events.
        names: names of the events, if they have names.
        statuses: error statuses in addition to `COMMON_STATUSES` and `JOB_STATUSES`.
        error: body of the errors.
    """
    event: dict[str, Any] = {"data": {"type": "string", "contentMediaType": "application/json"}}
    if names:
        event["event"] = {"enum": list(names)}
    schema = {"type": "object", "description": description, "properties": event, "required": sorted(event)}
    content = {"text/event-stream": {"schema": schema}}
    success = {"model": model, "description": "The complete body, or a stream of events.", "content": content}
    return {**error_responses(*statuses, *JOB_STATUSES, model=error), 200: success}

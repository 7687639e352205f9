"""Bodies of OpenAI's chat completions API. Unsupported fields are accepted only with values that have no effect."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, WrapValidator
from pydantic_core import PydanticCustomError

from convmodel.serving.schemas import Options, RequestModel, ResponseModel, Seed, Text

Role = Literal["system", "developer", "user", "assistant"]

T = TypeVar("T")
Nothing = Annotated[list[Any], Field(max_length=0)]


def _reject_unsupported(value: Any, validate: Callable[[Any], Any]) -> Any:
    try:
        return validate(value)
    except ValueError:
        raise PydanticCustomError("unsupported_parameter", "this server does not support it; leave it out") from None


def _is_bool(value: Any) -> Any:
    if not isinstance(value, bool):
        raise ValueError("a number is not a boolean")
    return value


def _is_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a boolean is not a number")
    return value


No = Annotated[Literal[False], BeforeValidator(_is_bool)]
Zero = Annotated[Literal[0], BeforeValidator(_is_number)]
"""False and 0 are equal in Python, so that Literal alone would accept either."""

Only = Annotated[T | None, WrapValidator(_reject_unsupported)]
"""An unsupported field: T is the value without effect, all others are rejected."""


class TextPart(RequestModel):
    """A text part of a message."""

    type: Literal["text"]
    text: Text


class Message(RequestModel):
    """A turn of the conversation, or, for the roles system and developer, sentences of the persona."""

    role: Role
    content: Text | Annotated[list[TextPart], Field(min_length=1)]
    name: Only[None] = None
    refusal: Only[None] = None
    audio: Only[None] = None
    annotations: Only[Nothing] = None
    tool_calls: Only[Nothing] = None
    function_call: Only[None] = None

    def text(self) -> str:
        """Return the content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(RequestModel):
    """Options of a stream."""

    include_usage: bool | None = Field(None, description="whether to send a last chunk with the usage and no choices")


class TextFormat(RequestModel):
    """The only supported response format."""

    type: Literal["text"]


Stop = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class UnsupportedFields(RequestModel):
    """Unsupported fields that clients send with values that have no effect; all other values are rejected."""

    logprobs: Only[No] = None
    top_logprobs: Only[Zero] = None
    logit_bias: Only[Annotated[dict[str, Any], Field(max_length=0)]] = None
    tools: Only[Nothing] = None
    tool_choice: Only[Literal["none", "auto"]] = None
    functions: Only[Nothing] = None
    function_call: Only[Literal["none", "auto"]] = None
    parallel_tool_calls: Only[bool] = None
    response_format: Only[TextFormat] = None
    modalities: Only[Annotated[list[Literal["text"]], Field(min_length=1, max_length=1)]] = None
    audio: Only[None] = None
    prediction: Only[None] = None
    reasoning_effort: Only[Literal["none"]] = None
    verbosity: Only[None] = None
    store: Only[No] = None
    metadata: Only[Annotated[dict[str, Any], Field(max_length=0)]] = None
    service_tier: Only[Literal["auto", "default"]] = None
    web_search_options: Only[None] = None
    moderation: Only[None] = None
    prompt_cache_key: Only[None] = None
    safety_identifier: Only[None] = None


class DecodingFields(RequestModel):
    """Fields of chat completions and of completions: decoding, the number of choices, and the stream."""

    temperature: float | None = Field(None, ge=0, le=2, description="values below 0.01 mean greedy decoding")
    top_p: float | None = Field(None, gt=0, le=1)
    n: Annotated[int, Field(ge=1, le=128)] | None = Field(
        None, description="number of replies, with the seeds seed, seed + 1, ..."
    )
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    seed: Seed | None = None
    max_tokens: int | None = Field(None, ge=1, le=1_000_000, description="up to the limit in /about")
    max_completion_tokens: int | None = Field(
        None, ge=1, le=1_000_000, description="newer name; the lower value applies"
    )
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    user: Annotated[str, StringConstraints(max_length=512)] | None = Field(
        None, description="end-user id, by which open replies are counted; trusted as sent"
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    preset: str | None = Field(None, description="extension: a set of options, see /about")
    options: Options | None = Field(None, description="extension: any decoding option; OpenAI's fields take precedence")


class ChatRequest(UnsupportedFields, DecodingFields):
    """A chat completions request. `persona`, `preset` and `options` are extensions: `extra_body` in OpenAI's client."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "model",
                    "messages": [
                        {"role": "system", "content": "i have two cats ."},
                        {"role": "user", "content": "Do you have any pets?"},
                    ],
                    "seed": 1,
                }
            ],
            "if": {"required": ["stream_options"], "properties": {"stream_options": {"type": "object"}}},
            "then": {"required": ["stream"], "properties": {"stream": {"const": True}}},
        }
    )

    model: str = Field(description="the name in /v1/models")
    messages: Annotated[list[Message], Field(min_length=1)] = Field(
        description="each line of a system or developer message, at any position, is a sentence of the persona; the "
        "other messages are the turns, and the reply follows the last of them. Consecutive messages of one role are "
        "joined with a newline.",
        json_schema_extra={"contains": {"required": ["role"], "properties": {"role": {"enum": ["user", "assistant"]}}}},
    )
    persona: list[Text] | None = Field(None, description="extension: sentences before those of system messages")


class TokensDetails(ResponseModel):
    """Details of the prompt's tokens."""

    cached_tokens: int = Field(description="tokens that were in the cache")


class Usage(ResponseModel):
    """Token counts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: TokensDetails


class ChoiceMessage(ResponseModel):
    """The text of a reply."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


FinishReason = Literal["stop", "length", "content_filter"]


class Extras(ResponseModel):
    """Extension: further properties of a reply."""

    seed: int | None = Field(description="reproduces the reply with the same request")
    window: int
    turns_dropped: int
    tokens_dropped: int
    candidates: int = Field(description="number of candidates")
    blocked: bool


class Choice(ResponseModel):
    """One reply."""

    index: int
    message: ChoiceMessage
    logprobs: None = None
    finish_reason: FinishReason
    convmodel: Extras


class Completion(ResponseModel):
    """The response body."""

    id: str = Field(examples=["chatcmpl-5f1c0a1d"])
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class ModelBody(ResponseModel):
    """A model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["convmodel"] = "convmodel"


class ModelsBody(ResponseModel):
    """The list of models, which has one entry."""

    object: Literal["list"] = "list"
    data: list[ModelBody]

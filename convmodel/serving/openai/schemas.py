"""OpenAI's bodies: what a request may hold, and what may stand in it without meaning anything here."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, WrapValidator
from pydantic_core import PydanticCustomError

from convmodel.serving.schemas import Options, RequestModel, ResponseModel, Seed, Text

Role = Literal["system", "developer", "user", "assistant"]

T = TypeVar("T")
Nothing = Annotated[list[Any], Field(max_length=0)]


def _only(value: Any, validate: Callable[[Any], Any]) -> Any:
    try:
        return validate(value)
    except ValueError:
        raise PydanticCustomError("unsupported_parameter", "this server does not support it; leave it out") from None


def _is_bool(value: Any) -> Any:
    if not isinstance(value, bool):
        raise ValueError("a number is no truth value")
    return value


def _is_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")
    return value


No = Annotated[Literal[False], BeforeValidator(_is_bool)]
Zero = Annotated[Literal[0], BeforeValidator(_is_number)]
"""Python takes each for the other."""

Only = Annotated[T | None, WrapValidator(_only)]
"""A field that may have a value that asks for nothing, and no other."""


class TextPart(RequestModel):
    """A part of a message."""

    type: Literal["text"]
    text: Text


class Message(RequestModel):
    """Something that was said, or, of the system, who replies."""

    role: Role
    content: Text | Annotated[list[TextPart], Field(min_length=1)]
    name: Only[None] = None
    refusal: Only[None] = None
    audio: Only[None] = None
    annotations: Only[Nothing] = None
    tool_calls: Only[Nothing] = None
    function_call: Only[None] = None

    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(RequestModel):
    """What a stream holds beside the text."""

    include_usage: bool | None = Field(None, description="a last chunk with the usage and no choices")


class TextFormat(RequestModel):
    """The one format that there is."""

    type: Literal["text"]


Stop = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Neutral(RequestModel):
    """Fields that clients send though they ask for nothing; with any other value they are refused."""

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


class ChatRequest(Neutral):
    """What a client of OpenAI's sends. `persona`, `preset` and `options` are ours: `extra_body` of the client."""

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

    model: str = Field(description="the one of /v1/models")
    messages: Annotated[list[Message], Field(min_length=1)] = Field(
        description="of system and developer, wherever they stand, each line is a sentence of the persona; the others "
        "are what was said, and the reply is to the last of them. Messages of one role that follow each other are "
        "joined with a newline.",
        json_schema_extra={
            "contains": {"required": ["role"], "properties": {"role": {"enum": ["user", "assistant"]}}},
        },
    )
    temperature: float | None = Field(None, ge=0, le=2, description="0 is greedy; else at least 0.01 counts")
    top_p: float | None = Field(None, gt=0, le=1)
    n: Annotated[int, Field(ge=1, le=128)] | None = Field(None, description="replies, the k-th with the seed + k")
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    seed: Seed | None = None
    max_tokens: int | None = Field(None, ge=1, le=1_000_000, description="more than /about allows is an error")
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000, description="its newer name; both hold")
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    user: Annotated[str, StringConstraints(max_length=512)] | None = Field(
        None, description="whom the key asks for; open replies are counted for each"
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    persona: list[Text] | None = Field(None, description="ours: sentences, before those of system messages")
    preset: str | None = Field(None, description="ours: a set of options, see /about")
    options: Options | None = Field(None, description="ours: any option of decoding; the fields above come first")


class TokensDetails(ResponseModel):
    """More on the prompt's tokens."""

    cached_tokens: int = Field(description="that did not have to be computed again")


class Usage(ResponseModel):
    """Tokens that were read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: TokensDetails


class ChoiceMessage(ResponseModel):
    """What is said."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


FinishReason = Literal["stop", "length", "content_filter"]


class Extras(ResponseModel):
    """Ours: what else is known of a reply."""

    seed: int | None = Field(description="with it the same request gives the same reply")
    window: int
    turns_dropped: int
    tokens_dropped: int
    candidates: int = Field(description="how many there were")
    blocked: bool


class Choice(ResponseModel):
    """One reply."""

    index: int
    message: ChoiceMessage
    logprobs: None = None
    finish_reason: FinishReason
    convmodel: Extras


class Completion(ResponseModel):
    """The whole answer."""

    id: str = Field(examples=["chatcmpl-5f1c0a1d"])
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class ModelBody(ResponseModel):
    """The model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["convmodel"] = "convmodel"


class ModelsBody(ResponseModel):
    """All models: one."""

    object: Literal["list"] = "list"
    data: list[ModelBody]

"""Bodies of Anthropic's messages API."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from convmodel.serving.ignored_fields import Ignorable, LenientModel
from convmodel.serving.openai.schemas import SPOKEN, Message
from convmodel.serving.openai.unsupported import Nothing, Only, text_only
from convmodel.serving.schemas import ErrorDetail, Options, ResponseModel, Seed, StopString, UserId, example


class TextBlock(LenientModel):
    """A block of text."""

    type: Literal["text"]
    text: str
    citations: Ignorable[Nothing] = None


Content = Annotated[str | list[TextBlock], text_only("blocks are not supported; send text", "text")]


class MessageParam(LenientModel):
    """A turn of the conversation; an empty one of the assistant is passed over."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"role": {"const": "user"}}},
            "then": {"properties": {"content": SPOKEN}},
        }
    )

    role: Literal["user", "assistant"]
    content: Content


class Metadata(LenientModel):
    """Data about a request."""

    user_id: UserId | None = Field(None, description="end-user id, by which open replies are counted; trusted as sent")


class ToolChoice(LenientModel):
    """A choice of tools that lets the model answer with text."""

    type: Literal["auto", "none"]


class CountRequest(LenientModel):
    """Messages whose tokens are counted."""

    model: str = Field(description="the name in /v1/models")
    messages: Annotated[list[MessageParam], Field(min_length=1)] = Field(
        description="the turns, oldest first",
        json_schema_extra={"contains": {"required": ["role"], "properties": {"role": {"const": "user"}}}},
    )
    system: Content | None = Field(None, description="each line is a sentence of the persona")
    tools: Ignorable[Nothing] = None
    tool_choice: Only[ToolChoice] = None

    def chat_messages(self) -> list[Message]:
        """Return the system text and the messages as those of a chat completion."""
        texts: list[tuple[str, str]] = [(message.role, text_of(message.content)) for message in self.messages]
        if (system := text_of(self.system or "")).strip():
            texts.insert(0, ("system", system))
        return [Message.model_construct(role=role, content=text) for role, text in texts]


class MessagesRequest(CountRequest):
    """A messages request. `preset`, `options` and `seed` are extensions: `extra_body` in the client."""

    model_config = example(
        model="model",
        max_tokens=100,
        system="i have two cats .",
        messages=[{"role": "user", "content": "Do you have any pets?"}],
    )

    max_tokens: int = Field(ge=1, description="above the limit in /about it has the limit's value")
    stop_sequences: Annotated[list[StopString], Field(max_length=16)] | None = None
    stream: bool | None = None
    temperature: float | None = Field(None, ge=0, le=1, description="values below 0.01 mean greedy decoding")
    top_k: int | None = Field(None, ge=0, le=1_000_000)
    top_p: float | None = Field(None, gt=0, le=1)
    metadata: Metadata | None = None
    preset: str | None = Field(None, description="extension: a set of options, see /about")
    options: Options | None = Field(None, description="extension: any decoding option; Anthropic's take precedence")
    seed: Seed | None = Field(None, description="extension: reproduces the reply with the same request")


def text_of(content: str | list[TextBlock]) -> str:
    """Return a content as one text; the blocks of a system text are lines of their own."""
    return content if isinstance(content, str) else "\n".join(block.text for block in content)


class TextContent(ResponseModel):
    """The text of a reply."""

    type: Literal["text"] = "text"
    text: str


class MessageUsage(ResponseModel):
    """Token counts."""

    input_tokens: int = Field(description="tokens of the context that were read")
    cache_read_input_tokens: int = Field(description="tokens of the context that were in the cache")
    output_tokens: int


StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "refusal"]


class MessageBody(ResponseModel):
    """The response body."""

    id: str = Field(examples=["msg_5f1c0a1d"])
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[TextContent]
    stop_reason: StopReason | None
    stop_sequence: str | None = Field(description="null if there were several")
    usage: MessageUsage


class CountBody(ResponseModel):
    """The number of tokens of a request."""

    input_tokens: int = Field(description="tokens of persona and turns with their separators")


class MessagesErrorBody(ResponseModel):
    """The format of errors of this API."""

    type: Literal["error"]
    error: ErrorDetail

"""Bodies of Anthropic's messages API."""

from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from convmodel.serving.ignored_fields import Ignorable, LenientModel
from convmodel.serving.openai.schemas import SPOKEN, ClientStop, Message
from convmodel.serving.openai.unsupported import Nothing, Only, text_only
from convmodel.serving.schemas import ErrorDetail, Options, ResponseModel, Seed, UserId, example


class TextBlock(LenientModel):
    """A block of text."""

    type: Literal["text"]
    text: str
    citations: Ignorable[Nothing] = None


PassedType = Literal[
    "tool_use", "tool_result", "server_tool_use", "web_search_tool_result", "thinking", "redacted_thinking"
]


SPOKEN_BY_USER: JsonDict = {"role": {"const": "user"}, "content": SPOKEN}
PASSED: JsonDict = {
    "type": "array",
    "items": {"properties": {"type": {"enum": [*get_args(PassedType)]}}},
    "minItems": 1,
}
"""JSON schema of a content with only blocks that are left out."""


class PassedBlock(BaseModel):
    """A block with a tool call, the result of a tool, or a model's thinking; such blocks are left out."""

    type: PassedType


Content = Annotated[
    str | list[TextBlock | PassedBlock],
    text_only("blocks are not supported; send text", "text", *get_args(PassedType)),
]
SystemContent = Annotated[str | list[TextBlock], text_only("blocks are not supported; send text", "text")]


class MessageParam(LenientModel):
    """A turn of the conversation; an empty turn of the assistant is left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"role": {"const": "user"}}},
            "then": {"properties": {"content": {"anyOf": [SPOKEN, PASSED]}}},
        }
    )

    role: Literal["user", "assistant"]
    content: Content

    @property
    def chat_role(self) -> str:
        """The role in OpenAI's chat completions; "tool" for a message with only blocks that are left out."""
        blocks = self.content if isinstance(self.content, list) else ()
        return "tool" if blocks and all(isinstance(block, PassedBlock) for block in blocks) else self.role


class Metadata(LenientModel):
    """Data about a request: the id of its end user."""

    user_id: UserId | None = Field(None, description="id of the end user, not verified; limits open replies per user")


class ToolChoice(LenientModel):
    """A setting of `tool_choice` that allows an answer without tools; other settings are rejected."""

    type: Literal["auto", "none"]


class CountRequest(LenientModel):
    """Messages whose tokens are counted."""

    model: str = Field(description="name of a model in /v1/models")
    messages: Annotated[list[MessageParam], Field(min_length=1)] = Field(
        description="the turns, oldest first", json_schema_extra={"contains": {"properties": SPOKEN_BY_USER}}
    )
    system: SystemContent | None = Field(None, description="each line is a sentence of the persona")
    tools: Ignorable[Nothing] = None
    tool_choice: Only[ToolChoice] = None

    def chat_messages(self) -> list[Message]:
        """Convert the system text and the messages to messages of OpenAI's chat completions."""
        texts: list[tuple[str, str]] = [(message.chat_role, text_of(message.content)) for message in self.messages]
        if (system := text_of(self.system or "")).strip():
            texts.insert(0, ("system", system))
        return [Message.model_construct(role=role, content=text) for role, text in texts]


class MessagesRequest(CountRequest):
    """A request for a reply. `preset`, `options` and `seed` are extensions; Anthropic's client sends `extra_body`."""

    model_config = example(
        model="model",
        max_tokens=100,
        system="i have two cats .",
        messages=[{"role": "user", "content": "Do you have any pets?"}],
    )

    max_tokens: int = Field(ge=1, description="values above the limit in /about are lowered to the limit")
    stop_sequences: Annotated[list[ClientStop], Field(max_length=16)] | None = None
    stream: bool | None = None
    temperature: float | None = Field(None, ge=0, le=1, description="values below 0.01 mean greedy decoding")
    top_k: int | None = Field(None, ge=0, le=1_000_000)
    top_p: float | None = Field(None, ge=0, le=1)
    metadata: Metadata | None = None
    preset: str | None = Field(None, description="extension: name of a preset (a set of options), see /about")
    options: Options | None = Field(
        None, description="extension: any decoding option; Anthropic's own fields take precedence"
    )
    seed: Seed | None = Field(None, description="extension: reproduces the reply with the same request")


def text_of(content: str | Sequence[TextBlock | PassedBlock]) -> str:
    """Return the text of a content; the texts of several blocks are joined with newlines."""
    if isinstance(content, str):
        return content
    return "\n".join(block.text for block in content if isinstance(block, TextBlock))


class TextContent(ResponseModel):
    """The content block with the text of a reply."""

    type: Literal["text"] = "text"
    text: str


class MessageUsage(ResponseModel):
    """Token counts of a reply."""

    input_tokens: int = Field(description="tokens of the context, without those read from the cache")
    cache_read_input_tokens: int = Field(description="tokens of the context that were read from the cache")
    output_tokens: int


StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "refusal"]


class MessageBody(ResponseModel):
    """The response body with a reply."""

    id: str = Field(examples=["msg_5f1c0a1d"])
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[TextContent]
    stop_reason: StopReason | None
    stop_sequence: str | None = Field(
        description="the stop sequence that ended the reply; null if the request has several"
    )
    usage: MessageUsage


class CountBody(ResponseModel):
    """The number of tokens of messages."""

    input_tokens: int = Field(description="tokens of persona and turns with their separators")


class MessagesErrorBody(ResponseModel):
    """The format of errors of Anthropic's API."""

    type: Literal["error"]
    error: ErrorDetail

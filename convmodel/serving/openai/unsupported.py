"""Unsupported fields of OpenAI's API, and types of the values that they accept.

A field that does not change the reply (`Ignorable`) is ignored and reported. A field that requests a feature (`Only`)
is accepted only with a value that turns the feature off; other values are rejected.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from convmodel.serving.ignored_fields import Ignorable, LenientModel

T = TypeVar("T")
Nothing = Annotated[list[Any], Field(max_length=0)]
Empty = Annotated[dict[str, Any], Field(max_length=0)]


def _reject_unsupported(value: Any, validate: Callable[[Any], Any]) -> Any:
    try:
        return validate(value)
    except ValidationError as error:
        [problem] = error.errors()[:1]
        place = "".join(f"{name} " for name in problem["loc"])
        allowed = f", or give {place}{problem['ctx']['expected']}" if problem["type"] == "literal_error" else ""
        message = f"this server does not support this value; leave it out{allowed}"
        raise PydanticCustomError("unsupported_parameter", message) from None


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
"""The values False (`No`) and 0 (`Zero`). They are equal in Python, so that Literal alone would accept both."""

Only = Annotated[T | None, WrapValidator(_reject_unsupported)]
"""Type of an unsupported field: null and values of type T, which have no effect, are accepted; others are rejected."""


def text_only(message: str, *types: str) -> BeforeValidator:
    """Return a validator of a message's content that rejects items, such as images, whose `type` is not in `types`.

    The message of the error is the rejected type followed by `message`.
    """

    def check(content: Any) -> Any:
        for item in content if isinstance(content, list) else ():
            kind = item.get("type") if isinstance(item, Mapping) else None
            if isinstance(kind, str) and kind not in types:
                raise PydanticCustomError("unsupported_parameter", f"{{kind}} {message}", {"kind": kind[:40]})
        return content

    return BeforeValidator(check)


class TextFormat(LenientModel):
    """The only supported response format."""

    type: Literal["text"]


class UnsupportedFields(LenientModel):
    """Unsupported fields of chat completions: ignored (`Ignorable`) or accepted only without effect (`Only`)."""

    logprobs: Only[No] = None
    top_logprobs: Only[Zero] = None
    logit_bias: Only[Empty] = None
    tool_choice: Only[Literal["none", "auto"]] = None
    function_call: Only[Literal["none", "auto"]] = None
    response_format: Only[TextFormat] = None
    guided_json: Only[None] = None
    guided_regex: Only[None] = None
    guided_choice: Only[None] = None
    guided_grammar: Only[None] = None
    structured_outputs: Only[None] = None
    grammar: Only[Literal[""]] = None
    json_schema: Only[None] = None
    modalities: Only[Annotated[list[Literal["text"]], Field(min_length=1, max_length=1)]] = None
    audio: Only[None] = None
    web_search_options: Only[None] = None
    tools: Ignorable[Nothing] = None
    functions: Ignorable[Nothing] = None
    parallel_tool_calls: Ignorable[bool] = None
    prediction: Ignorable[None] = None
    reasoning_effort: Ignorable[Literal["none"]] = None
    verbosity: Ignorable[None] = None
    store: Ignorable[No] = None
    metadata: Ignorable[Empty] = None
    service_tier: Ignorable[Literal["auto", "default"]] = None
    moderation: Ignorable[None] = None
    prompt_cache_key: Ignorable[None] = None
    safety_identifier: Ignorable[None] = None

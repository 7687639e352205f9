"""Conversion of chat messages to turns and persona; shared by JSON Lines and Hub data sets."""

from collections.abc import Mapping, Sequence
from typing import Any

from convmodel.data.formats.base import describe_type, shorten

_SPEAKERS = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}
_ALLOWED = "user or human, assistant or gpt, system"


def split_messages(messages: Any) -> tuple[list[str], list[str]]:
    """Convert a list of chat messages to turns and persona.

    Args:
        messages: objects `{"role": ..., "content": ...}` or `{"from": ..., "value": ...}`; other keys are ignored.
            The content is a string or a list of text parts. Parts, and consecutive messages of one role, are joined
            with a newline.

    Returns:
        The turns, speakers alternating, and the persona: one sentence per system message.

    Raises:
        ValueError: when a message is invalid; the error gives its number and a remedy.
    """
    if not isinstance(messages, list):
        raise ValueError(f"messages is {describe_type(messages)}, not a list; write a list of messages")
    turns: list[str] = []
    persona: list[str] = []
    last = None
    for i, message in enumerate(messages, 1):
        role, text = _role_and_text(message, i)
        if role == "system":
            if turns:
                raise ValueError(f"message {i} is a system message after the first turn; move it up")
            persona.append(text)
            continue
        speaker = _SPEAKERS[role]
        if speaker == last:
            turns[-1] += "\n" + text
        else:
            turns.append(text)
        last = speaker
    return turns, persona


def _role_and_text(message: Any, i: int) -> tuple[str, str]:
    if not isinstance(message, Mapping):
        raise ValueError(f"message {i} is {describe_type(message)}; write an object with role and content")
    role_key, text_key = ("role", "content") if message.get("role") is not None else ("from", "value")
    role = message.get(role_key)
    content = message.get(text_key)
    if role is None:
        raise ValueError(f"message {i} has no role; allowed are {_ALLOWED}")
    if not isinstance(role, str) or (role != "system" and role not in _SPEAKERS):
        raise ValueError(f"message {i} has the role {shorten(repr(role))}; allowed are {_ALLOWED}: remove or rename it")
    if isinstance(content, list):
        content = "\n".join(_text_parts(content, i))
    if not isinstance(content, str):
        raise ValueError(
            f"message {i}: its {text_key} is {describe_type(content)}, not text; remove it or give it text"
        )
    if not content.strip():
        raise ValueError(f"message {i} is empty; remove it or give it text")
    return role, content


def _text_parts(parts: Sequence[Any], i: int) -> list[str]:
    for part in parts:
        fields = part if isinstance(part, Mapping) else {}
        if fields.get("type") != "text" or not isinstance(fields.get("text"), str):
            kind = shorten(repr(fields["type"])) if "type" in fields else describe_type(part)
            allowed = '{"type": "text", "text": ...}'
            raise ValueError(f"message {i} has a part that is not text ({kind}); allowed is {allowed}")
    return [part["text"] for part in parts]

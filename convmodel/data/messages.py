"""Conversion of chat messages to turns and a persona: one set of rules for files, servers, bots and chat templates.

The rules:

- The names of roles (`ROLES`) are not case-sensitive; `developer` is the same as `system`.
- Each line of a system message is a sentence of the persona, at any position in the list. Blank lines and empty system
  messages are skipped.
- The text parts of a message, and consecutive messages of one role, are joined with a newline. Parts with the reasoning
  of a model are skipped.
- An empty reply (null, "" or white space) is skipped; an empty message of the user is an error.
- Calls of tools and their results are skipped and counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from convmodel.data.formats.base import describe_type, shorten

ROLES: Mapping[str, str] = {
    **dict.fromkeys(("user", "human", "prompter", "customer", "client", "person"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "bot", "model", "chatgpt", "chatbot", "ai", "agent", "bing", "bard"), "assistant"
    ),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "ipython", "function_call", "function_response", "observation"), "tool"),
    **dict.fromkeys(("tool_call", "tool_calls", "tool_response", "tool_result"), "tool"),
}
"""The role (user, assistant, system or tool) of each known name of a role, in lower case."""

_ALLOWED = "user or human, assistant or gpt, system"
_KEYS = (("role", ("content", "text", "value", "parts")), ("from", ("value", "text", "content")))
_TEXT_PARTS = ("text", "input_text", "output_text")
_THOUGHT_PARTS = ("thinking", "redacted_thinking", "reasoning")
_TOOL_PARTS = ("tool_use", "tool_result", "tool_call")
_CALLS = ("tool_calls", "function_call")


class MessageError(ValueError):
    """A message cannot be used.

    Args:
        fault: the fault and the remedy: "is empty; remove it or give it text".
        index: the position of the message, counted from 0; None for the list itself.
        field: the key of the message that is at fault, if any.
    """

    def __init__(self, fault: str, index: int | None = None, field: str | None = None) -> None:
        super().__init__(fault if index is None else f"message {index + 1}{fault}")
        self.fault = fault.lstrip(": ")
        self.index = index
        self.field = field


class ChatTurns(NamedTuple):
    """The content of a list of messages.

    Args:
        turns: the turns. Two speakers alternate, unless `speakers` or `names` are given.
        persona: the sentences of the system messages.
        skipped: the number of calls of tools and their results.
        replies_last: whether the last turn is a reply.
        speakers: the name of the speaker of each turn, if the messages name more than two speakers; None otherwise.
        names: the name of the speaker of each turn of a list of utterances; None if they have no names. They are used
            only with the option `keep_speakers`.
    """

    turns: list[str]
    persona: list[str]
    skipped: int = 0
    replies_last: bool = True
    speakers: list[str] | None = None
    names: list[str] | None = None


def split_messages(messages: Any, *, named: bool = False) -> ChatTurns:
    """Convert a list of chat messages to turns and a persona, by the rules of this module.

    Args:
        messages: mappings `{"role": ..., "content": ...}` or `{"from": ..., "value": ...}`; other keys are ignored. The
            content is a string, a list of text parts, or, for a reply, null.
        named: whether the `name` of a message distinguishes speakers, so that there may be more than two.

    Raises:
        MessageError: when a message is invalid; the error gives its number and a remedy.
    """
    if not isinstance(messages, list | tuple):
        raise MessageError(f"messages is {describe_type(messages)}, not a list; write a list of messages")
    turns: list[tuple[str, str]] = []
    names: list[str] = []
    persona: list[str] = []
    skipped = 0
    for i, message in enumerate(messages):
        role, text = _role_and_text(message, i)
        if role == "tool":
            skipped += 1
        elif role == "system":
            persona.extend(split_persona(text))
        elif text.strip():
            turns.append((role, text))
            names.append(str(message.get("name") or role))
        elif role == "user":
            raise MessageError(" is empty; remove it or give it text", i, "content")
    replies_last = bool(turns) and turns[-1][0] == "assistant"
    is_group = named and len({(role, name) for (role, _), name in zip(turns, names, strict=True)}) > 2
    joined = join_turns(zip(names, (text for _, text in turns), strict=True) if is_group else turns)
    speakers = [name for name, _ in joined] if is_group else None
    return ChatTurns([text for _, text in joined], persona, skipped, replies_last, speakers)


def split_persona(text: str) -> list[str]:
    """Return the sentences of a persona given as one text: its lines, without blank ones."""
    return [line for line in map(str.strip, text.splitlines()) if line]


def join_turns(turns: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join consecutive texts of one speaker with newlines; each item is a speaker and a text."""
    joined: list[tuple[str, list[str]]] = []
    for speaker, text in turns:
        if joined and joined[-1][0] == speaker:
            joined[-1][1].append(text)
        else:
            joined.append((speaker, [text]))
    return [(speaker, "\n".join(texts)) for speaker, texts in joined]


def _role_and_text(message: Any, i: int) -> tuple[str, str]:
    """Return the role and the text of a message. The role "tool" marks a message to skip."""
    if not isinstance(message, Mapping):
        raise MessageError(f" is {describe_type(message)}; write an object with role and content", i)
    role_key, text_keys = next((keys for keys in _KEYS if message.get(keys[0]) is not None), _KEYS[0])
    given = message.get(role_key)
    if given is None:
        raise MessageError(f" has no role; allowed are {_ALLOWED}", i, role_key)
    role = ROLES.get(given.strip().lower()) if isinstance(given, str) else None
    if role is None:
        fault = f" has the role {shorten(repr(given))}; allowed are {_ALLOWED}: remove or rename it"
        raise MessageError(fault, i, role_key)
    text_key = next((key for key in text_keys if message.get(key) is not None), text_keys[0])
    text = "" if role == "tool" else _content(message.get(text_key), i, text_key)
    if any(message.get(key) for key in _CALLS) or _has_tool_parts(message.get(text_key)):
        return (role, text) if text and text.strip() else ("tool", "")
    if text is None and role == "user":
        fault = f": its {text_key} is {describe_type(None)}, not text; remove it or give it text"
        raise MessageError(fault, i, text_key)
    return role, text or ""


def _has_tool_parts(content: Any) -> bool:
    parts = content if isinstance(content, list | tuple) else ()
    return any(isinstance(part, Mapping) and part.get("type") in _TOOL_PARTS for part in parts)


def _content(content: Any, i: int, key: str) -> str | None:
    """Return the text of the content of a message; None if the content is null."""
    if isinstance(content, list | tuple):
        return "\n".join(_text_parts(content, i, key))
    if content is None or isinstance(content, str):
        return content
    fault = f": its {key} is {describe_type(content)}, not text; remove it or give it text"
    raise MessageError(fault, i, key)


def _text_parts(parts: Sequence[Any], i: int, key: str) -> list[str]:
    texts: list[str] = []
    for part in parts:
        fields = part if isinstance(part, Mapping) else {}
        if fields.get("type") in (*_TOOL_PARTS, *_THOUGHT_PARTS):
            continue
        if fields.get("type", "text") not in _TEXT_PARTS or not isinstance(fields.get("text"), str):
            kind = shorten(repr(fields["type"])) if "type" in fields else describe_type(part)
            allowed = '{"type": "text", "text": ...}'
            raise MessageError(f" has a part that is not text ({kind}); allowed is {allowed}", i, key)
        texts.append(fields["text"])
    return texts

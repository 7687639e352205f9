r"""Preference sets: a chosen and a rejected reply to one prompt, or two conversations that differ in their last reply.

The supported forms are strings with `\n\nHuman: ...\n\nAssistant: ...` (hh-rlhf), lists of messages (UltraFeedback),
and replies beside a prompt, a question, an instruction or a conversation (Orca pairs, DPO sets of LLaMA-Factory). In
sets of single replies (KTO), a label shows whether a completion is chosen.
"""

import re
from collections.abc import Mapping
from typing import Any

from convmodel.data.data_file import Notes
from convmodel.data.formats.base import CandidateExample, Record, describe_type
from convmodel.data.messages import ROLES, ChatTurns, split_persona
from convmodel.data.shapes.base import Fields, Shape, build_record, read_turns
from convmodel.data.shapes.speakers import Said, join_said

_MARK = re.compile(r"(?:\A\s*|\n\s*\n)(Human|Assistant|User|System):[ \t]*")
_PROMPTS = ("prompt", "question", "instruction", "input", "conversations", "messages")


def split_transcript(text: str) -> list[Said]:
    """Return the messages of a text that begins with a mark such as `Human:`; an empty list for any other text."""
    parts = _MARK.split(text)
    if parts[0].strip() or len(parts) < 3:
        return []
    return [Said(role, content.strip()) for role, content in zip(parts[1::2], parts[2::2], strict=True)]


def build_preference(fields: Fields) -> Record:
    """Build a record from the chosen conversation. The rejected reply becomes the distractor of a selection example.

    Raises:
        ValueError: when the chosen conversation cannot be used.
    """
    before = [message for key in _PROMPTS for message in _messages(fields.pop(key), "user")]
    chosen = fields.pop("chosen")
    rejected = fields.pop("rejected")
    if chosen is None:
        raise ValueError("the chosen reply is null (None); give it text, or remove the object")
    chat = _read(before, chosen, fields.notes)
    fields.notes.left_out["rejected answer"] += 1
    system = fields.pop("system")
    persona = [*(split_persona(system) if isinstance(system, str) else ()), *chat.persona]
    return Record(
        fields.number, chat.turns, persona, fields.values or None, _selections(fields, before, rejected, chat)
    )


def build_labelled(fields: Fields) -> Record | list[Record]:
    """Build a record from a prompt and a completion; return an empty list if the label is false (rejected)."""
    label = next((value for key, value in fields.values.items() if key.strip().lower() == "label"), None)
    if label is False or (fields.cells and isinstance(label, str) and label.strip().lower() == "false"):
        fields.notes.left_out["rejected answer"] += 1
        return []
    return build_record(fields)


def _selections(fields: Fields, before: list[Any], rejected: Any, chosen: ChatTurns) -> list[CandidateExample]:
    try:
        other = _read(before, rejected, Notes()).turns
    except ValueError:
        return []
    *context, reply = chosen.turns or [""]
    if not context or other[:-1] != context or other[-1] == reply:
        return []
    return [CandidateExample(fields.number, context, reply, other[-1:], complete=False)]


def _read(before: list[Any], value: Any, notes: Notes) -> ChatTurns:
    """Return the turns of a conversation. If `value` is only a reply, the messages `before` precede it."""
    messages = _messages(value, "assistant")
    is_whole = any(ROLES.get(str(_role(message)).strip().lower()) == "user" for message in messages)
    if not all(isinstance(message, Said) for message in messages):
        messages = [_as_message(message) for message in messages]
        return read_turns(messages if is_whole else [*map(_as_message, before), *messages], notes)
    if is_whole or not before:
        return join_said(messages, notes)
    return read_turns([_as_message(message) for message in (*before, *messages)], notes)


def _messages(value: Any, role: str) -> list[Any]:
    """Return the messages of a list, of a transcript, or of a single text; an empty list for an empty value.

    Args:
        value: the list, the transcript or the text.
        role: the role of a single text.
    """
    if value is None or value == "":
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, str):
        return split_transcript(value) or [Said(role, value)]
    raise ValueError(f"the {role}'s text is {describe_type(value)}, not text; write a string or a list of messages")


def _role(message: Any) -> Any:
    if isinstance(message, Said):
        return message.speaker
    return (message.get("role") or message.get("from")) if isinstance(message, Mapping) else None


def _as_message(message: Any) -> Any:
    return {"role": message.speaker, "content": message.text} if isinstance(message, Said) else message


PREFERENCE = Shape(
    "chosen and rejected",
    {"chosen": "chosen", "rejected": "rejected"},
    {"system": "system", **{key: key for key in _PROMPTS}},
    None,
    build_preference,
)

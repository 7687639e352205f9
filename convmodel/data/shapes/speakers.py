"""Conversion of lists of utterances to turns, in the forms of several research data sets."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, repeat
from typing import Any, NamedTuple

from convmodel.data.data_file import Notes
from convmodel.data.formats.base import describe_type
from convmodel.data.messages import ROLES, ChatTurns, join_turns, split_messages

_SPEAKERS = (
    *("speaker", "speaker_id", "speaker_idx", "sender", "author", "agent", "user", "role", "from", "name", "id"),
    *("speaker_role", "user_id", "character", "participant", "creator"),
)
_NAMES = ("name", "displayName", "display_name", "username", "id")
"""Keys of the name of a speaker, if the speaker is given as an object."""

_TEXTS = ("text", "utterance", "message", "content", "value", "body", "sentence", "transcript", "line")
_IDENTITY = re.compile(r"(?:id|idx|index|no|nr|num|number)$", re.IGNORECASE)
_MESSAGE_ROLES = ("role", "from")


class Said(NamedTuple):
    """An utterance.

    Args:
        speaker: the name or number of the speaker.
        text: the text.
    """

    speaker: Any
    text: str


def join_said(said: Iterable[Said], notes: Notes) -> ChatTurns:
    """Return the turns of utterances. Consecutive utterances of one speaker are one turn.

    If all speakers are names of roles (`ROLES`) and one is the assistant, the rules of `convmodel.data.messages` are
    applied. Without an assistant, SYSTEM is a speaker like any other, as in MultiWOZ, and gives no persona.

    Raises:
        MessageError: when a message is invalid.
    """
    utterances = [each for each in said if each.text.strip()]
    roles = {ROLES.get(each.speaker.strip().lower()) if isinstance(each.speaker, str) else None for each in utterances}
    if "assistant" in roles and None not in roles:
        return count_tools(split_messages([{"role": speaker, "content": text} for speaker, text in utterances]), notes)
    joined = join_turns(utterances)
    names = [" ".join(speaker.split()) if isinstance(speaker, str) else "" for speaker, _ in joined]
    return ChatTurns([text for _, text in joined], [], names=names if all(names) else None)


def count_tools(chat: ChatTurns, notes: Notes) -> ChatTurns:
    """Add the number of skipped messages of tools to the notes, and return the turns unchanged."""
    if chat.skipped:
        notes.left_out["tool message"] += chat.skipped
    return chat


def holds_utterances(value: Any) -> bool:
    """Return whether a value is a list (or an object of lists) of utterances, which are not messages with a role."""
    if isinstance(value, Mapping):
        return isinstance(value.get(_find(value, _TEXTS)), list)
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, list):
        first = first[0] if first else None
    has_role = isinstance(first, Mapping) and any(isinstance(first.get(role), str) for role in _MESSAGE_ROLES)
    return is_utterance_object(first) and not has_role


def is_utterance_object(value: Any) -> bool:
    """Return whether a value is an object with a text."""
    return isinstance(value, Mapping) and isinstance(value.get(_find(value, _TEXTS)), str)


def names_speaker(value: Any) -> bool:
    """Return whether a value is an object with a text, and with the name or number of a speaker as `speaker`."""
    return is_utterance_object(value) and isinstance(value.get("speaker"), str | int)


def find_identity(value: Sequence[Any]) -> str | None:
    """Return the key of utterances that seems to identify their conversation; None if there is none.

    Its name ends in "id", "number" or the like. It has several values. Utterances with the same value are consecutive,
    and at least one value has several utterances.
    """
    rows = [each for each in value if isinstance(each, Mapping)]
    for key in rows[0] if rows else ():
        if not _IDENTITY.search(key) or key.lower() in _SPEAKERS:
            continue
        values = [row.get(key) for row in rows if isinstance(row.get(key), str | int)]
        runs = [each for each, _ in groupby(values)]
        if len(values) == len(value) > len(runs) > 1 and len(set(runs)) == len(runs):
            return str(key)
    return None


def read_utterances(value: Any) -> list[Said]:
    """Return the utterances of a list of strings or objects, of a list of pairs of these, or of an object of lists.

    A pair of a number and a text is an utterance with its speaker, as in BlendedSkillTalk. An object whose keys are
    roles is one utterance per key.

    Raises:
        ValueError: when an utterance has no text; the message gives its number.
    """
    if isinstance(value, Mapping):
        value = _rows(value)
    parts = [part for item in value for part in _split(item)]
    return [_read(part, number) for number, part in enumerate(parts, 1)]


def _split(item: Any) -> list[Any]:
    if has_roles_as_keys(item):
        return [Said(role, text) for role, text in item.items()]
    return item if isinstance(item, list) and not is_pair(item) else [item]


def has_roles_as_keys(value: Any) -> bool:
    """Return whether a value is an object whose keys are roles: `{"user": "Hi", "bot": "Hello"}`."""
    if not isinstance(value, Mapping) or not value:
        return False
    return all(key.strip().lower() in ROLES and isinstance(text, str) for key, text in value.items())


def is_pair(value: Any) -> bool:
    """Return whether a value is a pair of a speaker's number and a text."""
    return isinstance(value, list) and len(value) == 2 and type(value[0]) is int and isinstance(value[1], str)


def _read(value: Any, number: int) -> Said:
    if isinstance(value, str):
        return Said(number, value)
    if isinstance(value, Said):
        return value
    if is_pair(value):
        return Said(*value)
    if not isinstance(value, Mapping):
        raise ValueError(f"utterance {number} is {describe_type(value)}; write a string, or an object with a text")
    key = _find(value, _TEXTS)
    if not isinstance(value.get(key), str):
        fault = f"its {key} is {describe_type(value[key])}" if key in value else "there is none"
        raise ValueError(f"utterance {number} has no text ({fault}); give it one, or remove it")
    speaker = value.get(_find(value, _SPEAKERS))
    if isinstance(speaker, Mapping):
        speaker = speaker.get(_find(speaker, _NAMES))
    return Said(speaker if isinstance(speaker, str | int) else number, value[key])


def _rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the utterances of an object with a list of texts and, optionally, a list of speakers."""
    key = _find(columns, _TEXTS)
    texts = columns.get(key)
    speaker = _find(columns, _SPEAKERS)
    speakers = columns.get(speaker)
    if not isinstance(texts, list):
        raise ValueError("the turns are an object without a list of texts; write a list of turns")
    if not isinstance(speakers, list) or len(speakers) != len(texts):
        speakers = list(repeat(None, len(texts)))
    return [{key: text, speaker: name} for text, name in zip(texts, speakers, strict=True)]


def _find(value: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return the first of the names that has a value in an object; the first name if none has."""
    first, *others = names
    return next((name for name in (first, *others) if value.get(name) is not None), first)

"""Objects that hold the utterances of a conversation as a list: ParlAI, MultiWOZ, Taskmaster, SODA, Topical-Chat, ...

- ParlAI's conversations have pairs of `{"id", "text"}` in `dialog`, with lines `your persona: ...`.
- MultiWOZ 2.0 and 2.1 have texts in `log`. MultiWOZ 2.2 and the Schema-Guided Dialogue set have `turns` with `speaker`
  and `utterance`, which are an object of lists on the Hub.
- SAMSum and DialogSum have one text with a line for each utterance.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from convmodel.data.formats.base import Record
from convmodel.data.formats.episode import split_text
from convmodel.data.shapes.base import Fields, Shape
from convmodel.data.shapes.speakers import (
    Said,
    has_roles_as_keys,
    holds_utterances,
    is_pair,
    is_utterance_object,
    join_said,
    read_utterances,
)
from convmodel.data.speaker_lines import read_transcript

_KEYS = ("dialog", "dialogue", "utterances", "conversation", "log", "content")


def _is_list_of_utterances(values: Mapping[str, Any], roles: Mapping[str, str]) -> bool:
    value = values.get(roles["turns"])
    if isinstance(value, str):
        return bool(read_transcript(value))
    if value == []:
        return True
    first = value[0] if isinstance(value, list) else None
    is_said = is_utterance_object(first) or is_pair(first) or has_roles_as_keys(first)
    return isinstance(first, str) or is_said or holds_utterances(value)


def _is_list_of_texts(values: Mapping[str, Any], roles: Mapping[str, str]) -> bool:
    value = values.get(roles["turns"])
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def build_dialog(fields: Fields) -> Record:
    """Build a record from a list of utterances, whose speakers may be given in a separate list.

    Raises:
        ValueError: when an utterance has no text.
    """
    value = fields.pop("turns")
    said = read_transcript(value) if isinstance(value, str) else read_utterances(value)
    speakers = fields.values.get(fields.roles.get("speakers", ""))
    if isinstance(speakers, list) and len(speakers) == len(said) and all(isinstance(name, str) for name in speakers):
        said = [Said(name, text) for name, (_, text) in zip(fields.pop("speakers"), said, strict=True)]
    parts = [(speaker, *split_text(text)) for speaker, text in said]
    chat = join_said([Said(speaker, "\n".join(lines)) for speaker, lines, _, _ in parts], fields.notes)
    persona = [*(sentence for _, _, own, _ in parts for sentence in own), *chat.persona]
    given = fields.values.get(fields.roles.get("persona", ""))
    if isinstance(given, list) and all(isinstance(sentence, str) for sentence in given):
        persona = [*fields.pop("persona"), *persona]
    return Record(fields.number, chat.turns, persona, fields.values or None, names=chat.names)


def _has_responses(values: Mapping[str, Any], roles: Mapping[str, str]) -> bool:
    return all(isinstance(values.get(key), list) for key in roles.values())


def build_intent(fields: Fields) -> Iterator[Record]:
    """Yield a record for each pattern of an intent. The responses are assigned to the patterns in turn.

    Raises:
        ValueError: when there are no responses.
    """
    patterns = fields.pop("patterns")
    responses = fields.pop("responses")
    if not responses:
        raise ValueError("the intent has no responses; give it one, or remove it")
    for position, pattern in enumerate(patterns):
        yield Record(fields.number, [pattern, responses[position % len(responses)]], (), dict(fields.values) or None)


INTENT = Shape(
    "patterns and responses", {"patterns": "patterns", "responses": "responses"}, {}, _has_responses, build_intent
)

DIALOGS = tuple(
    Shape(key, {"turns": key}, {"persona": "persona", "speakers": "speakers"}, _is_list_of_utterances, build_dialog)
    for key in _KEYS
)
DIALOGS += (Shape("data", {"turns": "data"}, {}, _is_list_of_texts, build_dialog),)  # UltraChat of 2023
"""One shape for each key under which data sets have the list of utterances."""

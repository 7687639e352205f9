"""Objects that hold the utterances of a conversation as a list: ParlAI, MultiWOZ, Taskmaster, SODA, Topical-Chat, ...

ParlAI's conversations have pairs of `{"id", "text"}` in `dialog`, with lines `your persona: ...`; MultiWOZ 2.0 and 2.1
texts in `log`, 2.2 and the Schema-Guided Dialogue set `turns` with `speaker` and `utterance`, which the Hub gives as an
object of lists.
"""

from collections.abc import Mapping
from typing import Any

from convmodel.data.formats.base import Record
from convmodel.data.formats.episode import split_text
from convmodel.data.shapes.base import Fields, Shape
from convmodel.data.shapes.speakers import (
    Said,
    holds_utterances,
    is_pair,
    is_utterance_object,
    join_said,
    read_utterances,
)

_KEYS = ("dialog", "dialogue", "utterances", "conversation", "log", "content")


def _is_list_of_utterances(values: Mapping[str, Any], roles: Mapping[str, str]) -> bool:
    value = values.get(roles["turns"])
    if value == []:
        return True
    first = value[0] if isinstance(value, list) else None
    return isinstance(first, str) or is_utterance_object(first) or is_pair(first) or holds_utterances(value)


def _is_list_of_texts(values: Mapping[str, Any], roles: Mapping[str, str]) -> bool:
    value = values.get(roles["turns"])
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def build_dialog(fields: Fields) -> Record:
    """Build a record from a list of utterances, and the speakers of a list beside it.

    Raises:
        ValueError: when an utterance has no text.
    """
    said = read_utterances(fields.pop("turns"))
    speakers = fields.values.get(fields.roles.get("speakers", ""))
    if isinstance(speakers, list) and len(speakers) == len(said) and all(isinstance(name, str) for name in speakers):
        said = [Said(name, text) for name, (_, text) in zip(fields.pop("speakers"), said, strict=True)]
    parts = [(speaker, *split_text(text)) for speaker, text in said]
    chat = join_said([Said(speaker, "\n".join(lines)) for speaker, lines, _, _ in parts], fields.notes)
    persona = [*(sentence for _, _, own, _ in parts for sentence in own), *chat.persona]
    given = fields.values.get(fields.roles.get("persona", ""))
    if isinstance(given, list) and all(isinstance(sentence, str) for sentence in given):
        persona = [*fields.pop("persona"), *persona]
    return Record(fields.number, chat.turns, persona, fields.values or None)


DIALOGS = tuple(
    Shape(key, {"turns": key}, {"persona": "persona", "speakers": "speakers"}, _is_list_of_utterances, build_dialog)
    for key in _KEYS
)
DIALOGS += (Shape("data", {"turns": "data"}, {}, _is_list_of_texts, build_dialog),)  # UltraChat of 2023
"""The shape of each key under which sets have their utterances."""

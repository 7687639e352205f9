"""The form of PersonaChat in transfer-learning-conv-ai (`personachat_self_original.json`).

A dialogue has a `personality`, and an utterance for each of its replies, with the `history` before it and the
`candidates`, the last of which is the reply.
"""

from collections.abc import Mapping
from typing import Any

from convmodel.data.formats.base import CandidateExample, Record, describe_type
from convmodel.data.shapes.base import Fields, Shape

_SILENCE = ("__ SILENCE __", "__SILENCE__")  # the reply begins the dialogue


def _has_histories(values: Mapping[str, Any], roles: Mapping[str, str]) -> bool:
    utterances = values.get(roles["utterances"])
    first = utterances[0] if isinstance(utterances, list) and utterances else None
    return utterances == [] or (isinstance(first, Mapping) and "history" in first)


def build_personality(fields: Fields) -> Record:
    """Build a record from the last utterance of a dialogue and its history; all its utterances have candidates.

    Raises:
        ValueError: when an utterance has no history or no candidates.
    """
    utterances = fields.pop("utterances")
    exchanges = [_exchange(utterance, number) for number, utterance in enumerate(utterances, 1)]
    persona = fields.pop("persona")
    if not exchanges:
        return Record(fields.number, [], persona, fields.values or None)
    selections = [
        CandidateExample(fields.number, history, candidates[-1], candidates)
        for history, candidates in exchanges
        if history and len(candidates) > 1
    ]
    history, candidates = exchanges[-1]
    return Record(fields.number, [*history, candidates[-1]], persona, fields.values or None, selections)


def _exchange(utterance: Any, number: int) -> tuple[list[Any], list[Any]]:
    """Return the history and the candidates of an utterance."""
    parts = utterance if isinstance(utterance, Mapping) else {}
    history = parts.get("history")
    candidates = parts.get("candidates")
    if not isinstance(history, list) or not isinstance(candidates, list) or not candidates:
        fault = describe_type(utterance) if not parts else "an object without a history or without candidates"
        raise ValueError(f'utterance {number} is {fault}; write {{"history": [...], "candidates": [...]}}')
    return [turn for turn in history if turn not in _SILENCE], candidates


PERSONALITY = Shape(
    "personality and utterances with candidates",
    {"persona": "personality", "utterances": "utterances"},
    {},
    _has_histories,
    build_personality,
)

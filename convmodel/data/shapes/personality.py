"""The form of PersonaChat in transfer-learning-conv-ai (`personachat_self_original.json`).

A dialogue has a `personality`, and an utterance for each of its replies, with the `history` before it and the
`candidates`, the last of which is the reply. In the version on the Hub, each utterance is a row.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from convmodel.data.data_file import Notes
from convmodel.data.formats.base import CandidateExample, Problem, Record, describe_type
from convmodel.data.shapes.base import Fields, RowGroup, Shape

_SILENCE = ("__ SILENCE __", "__SILENCE__")  # stands before a reply that begins the dialogue


def _has_histories(values: Mapping[str, Any], roles: Mapping[str, str]) -> bool:
    utterances = values.get(roles["utterances"])
    first = utterances[0] if isinstance(utterances, list) and utterances else None
    return utterances == [] or (isinstance(first, Mapping) and "history" in first)


def build_personality(fields: Fields) -> Record:
    """Build a record from the last utterance of a dialogue, whose history holds all turns before.

    Each utterance with a history becomes a selection example.

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


def _is_row(values: Mapping[str, Any], roles: Mapping[str, str]) -> bool:
    return all(isinstance(values.get(roles[role]), list) for role in ("history", "candidates"))


class PersonalityGroup(RowGroup):
    """Collector of the rows of a dialogue. There is one row for each reply; the last row has the whole history.

    Args:
        notes: the notes for the report of this pass.
    """

    def __init__(self, notes: Notes) -> None:
        super().__init__(notes)
        self._identity: Any = None
        self._selections: list[CandidateExample] = []

    def add(self, fields: Fields) -> Iterator[Record | Problem]:
        """Add a row. If it begins a new dialogue, first yield the collected one."""
        identity = fields.values.get(fields.roles.get("id", ""))
        if self._first is None or identity is None or identity != self._identity:
            yield from self.finish()
            self._selections = []
        history, candidates = _exchange({role: fields.pop(role) for role in ("history", "candidates")}, 1)
        if history and len(candidates) > 1:
            self._selections.append(CandidateExample(fields.number, history, candidates[-1], candidates))
        self._turns = [*history, candidates[-1]]
        self._first = fields.number
        self._fields = fields
        self._identity = identity

    def _conversations(self, number: int) -> Iterable[Record]:
        persona = self._fields.pop("persona")
        return [Record(number, self._turns, persona, self._fields.values or None, self._selections)]


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
PERSONALITY_ROW = Shape(
    "personality, history and candidates",
    {"persona": "personality", "history": "history", "candidates": "candidates"},
    {"id": "conv_id"},
    _is_row,
    group=PersonalityGroup,
)

"""Lay out a conversation by the chat template of its tokenizer; the replying side is the assistant.

Most templates add the same tokens to each turn of a role, whatever the turn's position. These tokens are taken from a
few renderings once, so that no conversation has to be rendered. Other templates (those that
drop the reasoning of earlier turns, or move the system message) are rendered once for each number of turns.
"""

import logging
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from convmodel.tokens.chat_template import PERSONA, ChatTemplate, Pieces, TurnShape
from convmodel.tokens.conversation_layout import IGNORED, ConversationLayout, ConversationSequence, Ids, extend
from convmodel.tokens.reasoning import ReasoningTags
from convmodel.tokens.turn_windows import LayoutCosts

logger = logging.getLogger(__name__)

PROBED = 6
"""Maximum number of turns of the renderings from which the template's own ids are taken."""

Words = tuple[int, ...]


@dataclass
class _Parts:
    """The template's own token ids at each position, as a set of the variants that occurred in the renderings.

    A role in a key is true for the assistant.

    Args:
        head: ids before the first turn, keyed by the presence of a persona and the role of the first turn. If there is
            a persona, a variant has two parts: the ids before and after the persona.
        after: ids between a turn and the next, keyed by the role of the former.
        tail: ids after the last turn, keyed by its role and whether a reply follows.
    """

    head: dict[tuple[bool, bool], set[tuple[Words, ...]]] = field(default_factory=dict)
    after: dict[bool, set[tuple[Words, ...]]] = field(default_factory=dict)
    tail: dict[tuple[bool, bool], set[tuple[Words, ...]]] = field(default_factory=dict)

    def add(self, shape: TurnShape, pieces: Pieces) -> None:
        """Add the template's ids of one rendering."""
        places: list[list[Words]] = [[] for _ in range(shape.turns + 1)]
        place = 0
        for words, slot in zip(pieces.words, (*pieces.slots, PERSONA), strict=True):
            places[place].append(words)
            place = slot + 1 if slot != PERSONA else place
        self.head.setdefault((shape.persona, shape.is_reply(0)), set()).add(tuple(places[0]))
        for turn in range(shape.turns - 1):
            self.after.setdefault(shape.is_reply(turn), set()).add(tuple(places[turn + 1]))
        self.tail.setdefault((shape.last_is_reply, shape.is_open), set()).add(tuple(places[-1]))

    @property
    def are_local(self) -> bool:
        """Whether each position has only one variant, and a persona occurs only before the first turn."""
        found = [*self.head.items(), *self.after.items(), *self.tail.items()]
        is_unique = all(len(words) == 1 for _, words in found)
        return is_unique and all(len(next(iter(words))) == 1 for words in (*self.after.values(), *self.tail.values()))


class TemplateLayout(ConversationLayout):
    """The chat template of a tokenizer, with the persona as its system message, and without token types.

    Args:
        template: the template.
        newline_ids: ids of a line break, which separates the sentences of a persona.
        control_ids: the tokenizer's control tokens.
        end_of_text_id: the tokenizer's end-of-text token, which ends a reply too.
        reasoning: the tags of the model's reasoning.
    """

    name = "chat_template"
    owns_special_tokens = False

    def __init__(
        self,
        template: ChatTemplate,
        *,
        newline_ids: Ids,
        control_ids: Container[int],
        end_of_text_id: int | None = None,
        reasoning: ReasoningTags | None = None,
    ) -> None:
        self.reasoning = reasoning
        self.trims = template.trims
        self._template = template
        self._newline = tuple(newline_ids)
        parts = _Parts()
        for shape in _probed_shapes():
            parts.add(shape, template.pieces(shape))
        self._parts = parts if parts.are_local else None
        if self._parts is None:
            logger.warning(
                "the chat template writes earlier turns differently when others follow: each context is rendered "
                "whole, and read again from the first turn that changes"
            )
        self.costs = _costs_of(parts, len(self._newline))
        self._ends = {
            is_reply: next(filter(control_ids.__contains__, _flat(parts.tail[is_reply, False])), None)
            for is_reply in (False, True)
        }
        ends = (self._ends[True], end_of_text_id)
        self.end_token_ids = tuple(dict.fromkeys(i for i in ends if i is not None))
        self.pad_token_id = (*self.end_token_ids, 0)[0]
        self.description = (
            "The tokenizer's chat template, whose system message holds the persona; the replying side is the "
            "assistant. There are no `token_type_ids`."
        )

    def lay_out(
        self,
        turns: Sequence[Ids],
        *,
        persona: Sequence[Ids] = (),
        last_is_reply: bool = False,
        predicted: Sequence[bool] | None = None,
        cut: int = 0,
        speakers: Sequence[int] | None = None,
    ) -> ConversationSequence:
        shape = TurnShape(bool(persona), len(turns), last_is_reply, predicted is None)
        pieces = self._pieces(shape)
        ids = [*pieces.words[0]]
        labels = [IGNORED] * len(ids)
        spans = []
        for slot, words in zip(pieces.slots, pieces.words[1:], strict=True):
            is_turn = slot != PERSONA
            text = _cut(turns, slot, cut) if is_turn else self._join(persona)
            is_label = is_turn and predicted is not None and predicted[slot]
            if is_turn:
                spans.append((len(ids), len(ids) + len(text)))
            ids += (*text, *words)
            labels += text if is_label else [IGNORED] * len(text)
            labels += self._labels_of(words, self._ends[shape.is_reply(slot)] if is_label else None)
        labels[0] = IGNORED  # nothing precedes it
        return ConversationSequence(ids, [], labels, spans[0][0], spans)

    def append_reply(self, context: ConversationSequence, reply: Ids) -> ConversationSequence:
        return extend(context, [*reply, *self.end_token_ids[:1]], reply)

    def _pieces(self, shape: TurnShape) -> Pieces:
        """Return the ids and slots of a shape, from the known parts of the template or, without these, by rendering."""
        if self._parts is None:
            return self._template.pieces(shape)
        (head,) = self._parts.head[shape.persona, shape.is_reply(0)]
        after = {role: next(iter(words))[0] for role, words in self._parts.after.items()}
        ((tail,),) = self._parts.tail[shape.last_is_reply, shape.is_open]
        between = (after[shape.is_reply(turn)] for turn in range(shape.turns - 1))
        slots = (*[PERSONA] * shape.persona, *range(shape.turns))
        return Pieces((*head, *between, tail), slots)

    def _join(self, persona: Sequence[Ids]) -> list[int]:
        """Return the sentences of a persona, each on its own line."""
        joined = [*persona[0]]
        for sentence in persona[1:]:
            joined += (*self._newline, *sentence)
        return joined

    @staticmethod
    def _labels_of(words: Words, end: int | None) -> list[int]:
        """Return the labels of the template's ids after a turn: only the first `end` among them is predicted."""
        labels = [IGNORED] * len(words)
        if end in words:
            labels[words.index(end)] = end
        return labels


def _probed_shapes() -> Iterable[TurnShape]:
    for persona in (False, True):
        for turns in range(1, PROBED + 1):
            yield TurnShape(persona, turns, True, False)
            yield TurnShape(persona, turns, False, False)
            yield TurnShape(persona, turns, False, True)


def _costs_of(parts: _Parts, sentence: int) -> LayoutCosts:
    """Return the numbers of tokens that a template adds: exact if each position has one variant, else upper bounds."""
    turn = (_longest(parts.after[False]), _longest(parts.after[True]))
    edges = np.zeros((2, 2, 2, 2), dtype=np.int64)
    for (persona, first), heads in parts.head.items():
        for (last, is_open), tails in parts.tail.items():
            edge = _longest(heads) + _longest(tails) - turn[last] - sentence * persona
            edges[int(persona), int(first), int(last), int(is_open)] = edge
    return LayoutCosts(turn, sentence, edges, noun="the words of the chat template")


def _longest(variants: Iterable[tuple[Words, ...]]) -> int:
    return max(sum(map(len, words)) for words in variants)


def _flat(variants: Iterable[tuple[Words, ...]]) -> Iterable[int]:
    return (i for words in sorted(variants) for part in words for i in part)


def _cut(turns: Sequence[Ids], index: int, cut: int) -> Ids:
    return turns[index][cut:] if index == len(turns) - 1 else turns[index]

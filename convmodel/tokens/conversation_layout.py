"""Interface of the layouts: a conversation becomes one sequence of token ids, types and labels.

The same layout is used in training, evaluation and generation.

A context that is too long loses whole turns, oldest first, and the rest is laid out as though the dropped turns had
never existed.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from convmodel.tokens.reasoning import ReasoningTags
from convmodel.tokens.turn_windows import LayoutCosts, Window, fit_context

IGNORED = -100
"""The label of a token that is not predicted, as in transformers."""

LayoutName = Literal["separators", "chat_template", "encoder"]
"""Separators before each turn, the chat template of the tokenizer, or the input of an encoder-decoder's encoder."""

Ids = Sequence[int]


@dataclass(frozen=True, slots=True)
class ConversationSequence:
    """The layout of one conversation: lists of the same length T, with labels of -100 where nothing is predicted.

    Args:
        token_type_ids: empty in a layout without token types.
        metadata: number of leading tokens that describe the text without being part of it, such as a persona.
        spans: start and stop of the text of each turn. The labels from one start to the next are those of one turn.
        given: start and stop of the speakers' names inside the turns; they are read, and never predicted.
    """

    input_ids: list[int]
    token_type_ids: list[int]
    labels: list[int]
    metadata: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list, compare=False)
    given: list[tuple[int, int]] = field(default_factory=list, compare=False)


class ConversationLayout(ABC):
    """The way in which turns and a persona become one sequence; speakers alternate by turn.

    Attributes:
        costs: numbers of tokens that the layout adds to the texts.
        end_token_ids: tokens that end a reply; the first one is written after it, and there may be none.
        pad_token_id: the token for padding in batches; padding is recognised by masks and labels, not by this id.
        owns_special_tokens: whether a model's configuration must name the layout's own tokens; otherwise it is left as
            it is.
        description: the layout in a sentence or two, for a model card.
        reasoning: the tags of the reasoning at the beginning of a reply; None for a model that never reasons.
        trims: whether the layout removes the white space around texts.
        max_speakers: number of speakers that the layout distinguishes. If 2, turns must alternate between two sides.
    """

    name: ClassVar[LayoutName]
    costs: LayoutCosts
    end_token_ids: tuple[int, ...]
    pad_token_id: int
    owns_special_tokens: ClassVar[bool]
    description: str
    reasoning: ReasoningTags | None = None
    trims: bool = False
    max_speakers: int = 2

    def clean(self, text: str) -> str:
        """Return the text of a turn or a persona sentence as the layout writes it."""
        return text.strip() if self.trims else text

    @abstractmethod
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
        """Lay out turns that fit.

        Args:
            persona: sentences about the replying side.
            last_is_reply: whether the replying side spoke the last turn.
            predicted: for each turn, whether its tokens and the token that ends it are labels; without it the turns are
                a context, which ends where the reply begins.
            cut: number of tokens to cut from the start of the newest turn.
            speakers: index of the speaker of each turn and, at the end, of the one who replies, whom the persona
                describes. Only for layouts with `max_speakers` above 2; None if two speakers alternate.
        """

    @abstractmethod
    def append_reply(self, context: ConversationSequence, reply: Ids) -> ConversationSequence:
        """Return a context followed by a reply; the labels are the tokens of the reply and the token that ends it."""

    def lay_out_context(
        self,
        turns: Sequence[Ids],
        *,
        persona: Sequence[Ids] = (),
        max_length: int | None = None,
        reserved: int = 0,
        keep: float = 1.0,
        speakers: Sequence[int] | None = None,
        opening: Ids = (),
    ) -> tuple[ConversationSequence, Window]:
        """Drop the oldest turns of a context until it fits; return its layout, and its window of turns.

        `opening` are the ids of the beginning of the reply that is given: the name of the speaker who replies. For
        other arguments and errors see `fit_context` and `lay_out`.
        """
        taken = reserved + len(opening)
        window = fit_context(turns, self.costs, persona=persona, max_length=max_length, reserved=taken, keep=keep)
        kept = None if speakers is None else speakers[window.first :]
        sequence = self.lay_out(turns[window.first :], persona=persona, cut=window.cut, speakers=kept)
        sequence.input_ids.extend(opening)
        sequence.labels.extend([IGNORED] * len(opening))
        sequence.token_type_ids.extend(sequence.token_type_ids[-1:] * len(opening))
        return sequence, window


def extend(
    context: ConversationSequence, added: Sequence[int], reply: Ids, types: list[int] | None = None
) -> ConversationSequence:
    """Return a context with `added` tokens, which are labels and begin with a reply's text."""
    start = len(context.input_ids)
    return ConversationSequence(
        [*context.input_ids, *added],
        types or [],
        [*context.labels, *added],
        context.metadata,
        [*context.spans, (start, start + len(reply))],
    )


def ignore(sequence: ConversationSequence, turn: int, spans: Iterable[tuple[int, int]], *, cut: int = 0) -> None:
    """Set the labels of the names in a turn to `IGNORED`, and record their spans in `given`.

    Args:
        spans: start and stop of each name in the turn.
        cut: number of tokens that were cut from the start of the turn.
    """
    first = sequence.spans[turn][0]
    begin = first - (cut if turn == len(sequence.spans) - 1 else 0)
    for start, stop in spans:
        part = slice(max(begin + start, first), max(begin + stop, first))
        sequence.labels[part] = [IGNORED] * (part.stop - part.start)
        sequence.given.append((part.start, part.stop))


def label_counts(sequence: ConversationSequence) -> list[int]:
    """Return the number of labels of each predicted turn, in order."""
    starts = [start for start, _ in sequence.spans]
    stops = [*starts[1:], len(sequence.labels)]
    counts = [sum(label != IGNORED for label in sequence.labels[a:b]) for a, b in zip(starts, stops, strict=True)]
    return [count for count in counts if count]

"""Lay out a conversation with separators and token types.

    persona sentence    turn 1        turn 2           the reply
    <sep> I  am  Ann  <sep> Hello  <sep> How are you  <sep> ...
      t   t  t   t      0    0       1    1   1   1     t   t      t: the type of the speaker who replies

There is a separator before each persona sentence and before each turn, and one at the end. The type alternates by
turn, starting from 0. The last separator already belongs to the next speaker, so the reply's tokens simply follow it.
A context that is too long loses whole turns, oldest first, and the rest is laid out as though the dropped turns had
never existed.
"""

from collections.abc import Iterable, Sequence

from convmodel.tokens.conversation_layout import IGNORED, ConversationLayout, ConversationSequence, Ids, extend
from convmodel.tokens.speakers import by_appearance
from convmodel.tokens.turn_windows import LayoutCosts, Window


def place_separators(segments: Iterable[Sequence[int]], sep_token_id: int, *, leading: bool = True) -> list[int]:
    """Join segments with a separator after each one and, if `leading`, one before the first.

    Segments that continue a laid-out context need no leading separator, because the context ends with one.
    """
    ids = [sep_token_id] if leading else []
    for segment in segments:
        ids.extend(segment)
        ids.append(sep_token_id)
    return ids


def lay_out_context(
    turns: Sequence[Ids],
    sep_token_id: int,
    *,
    persona: Sequence[Ids] = (),
    max_length: int | None = None,
    reserved: int = 0,
    keep: float = 1.0,
) -> tuple[ConversationSequence, Window]:
    """Lay out a context with separators; see `ConversationLayout.lay_out_context`."""
    return SeparatorLayout(sep_token_id).lay_out_context(
        turns, persona=persona, max_length=max_length, reserved=reserved, keep=keep
    )


class SeparatorLayout(ConversationLayout):
    """Separators before each persona sentence, before each turn and at the end.

    Args:
        sep_token_id: the separator.
        has_types: whether token types distinguish the speakers.
        sep_token: the separator's text, for the model card.
        max_speakers: number of speakers with a token type of their own; further speakers share the last type.
    """

    name = "separators"
    owns_special_tokens = True
    costs = LayoutCosts()

    def __init__(
        self, sep_token_id: int, *, has_types: bool = True, sep_token: str = "", max_speakers: int = 2
    ) -> None:
        self.has_types = has_types
        self.max_speakers = max_speakers if has_types else 2
        self.end_token_ids = (sep_token_id,)
        self.pad_token_id = sep_token_id
        types = "alternate by turn from 0" if self.max_speakers == 2 else "number the speakers as they appear"
        types += ", and the last separator has the type of the speaker who replies"
        others = "software that drops `token_type_ids` reads this model less well"
        self.description = f"`{sep_token}` stands before each persona sentence, before each turn and at the end" + (
            f"; `token_type_ids` {types}. The chat template reproduces the ids; {others}."
            if has_types
            else ". There are no `token_type_ids`. The chat template reproduces the ids."
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
        turns = [*turns[:-1], *(turn[cut:] for turn in turns[-1:])]
        turn_types = [index % 2 for index in range(len(turns) + 1)]
        persona_type = (len(turns) - last_is_reply) % 2
        if speakers is not None:
            turn_types = [min(number, self.max_speakers - 1) for number in by_appearance(speakers)]
            persona_type = turn_types[-1]
        metadata = self.costs.persona_length(persona)
        types = [persona_type] * metadata
        labels = [IGNORED] * (metadata + 1)
        spans = []
        for index, turn in enumerate(turns):
            spans.append((len(labels), len(labels) + len(turn)))
            types.extend([turn_types[index]] * (len(turn) + 1))
            is_label = predicted is not None and predicted[index]
            labels.extend([*turn, self.pad_token_id] if is_label else [IGNORED] * (len(turn) + 1))
        types.append(turn_types[-1])
        ids = place_separators([*persona, *turns], self.pad_token_id)
        return ConversationSequence(ids, types if self.has_types else [], labels, metadata, spans)

    def append_reply(self, context: ConversationSequence, reply: Ids) -> ConversationSequence:
        added = place_separators([reply], self.pad_token_id, leading=False)
        types = context.token_type_ids
        if types:
            types = [*types, *[types[-1]] * len(reply), int(types[-1] == 0)]
        return extend(context, added, reply, types)

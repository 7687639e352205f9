"""Token ids of a context and its persona, with the names of speakers and the ids of earlier replies."""

from collections.abc import Sequence
from typing import NamedTuple

from convmodel.data.sides import Side
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.session import Session
from convmodel.tokens.speakers import Context


class ContextIds(NamedTuple):
    """Token ids of a context, of its persona, and of the words that are given before the reply."""

    turns: list[list[int]]
    persona: list[list[int]]
    opening: list[int]


def encode_named(
    tokenizer: ConversationTokenizer, context: Context, persona: Sequence[str], session: Session | None = None
) -> ContextIds:
    """Return the token ids of a context; earlier replies of a session have the ids that the model generated."""
    sides: Sequence[str | Side] = context.turns if context.sides is None else context.sides
    encoded = tokenizer.encode_sides([*persona, *sides])
    known = {} if session is None else session.ids
    turns = []
    for index, (text, side, ids) in enumerate(zip(context.turns, sides, encoded[len(persona) :], strict=True)):
        is_reply = isinstance(side, str) or side.replies
        generated = known.get((index, context.lead + text)) if is_reply else None
        turns.append(ids.ids if generated is None else [*ids.words, *generated])
    opening = tokenizer.encode(context.opening) if context.opening else []
    return ContextIds(turns, [ids.ids for ids in encoded[: len(persona)]], opening)

"""Token ids of a context and its persona, with the names of speakers and the ids of earlier replies."""

from collections.abc import Sequence
from typing import NamedTuple

from convmodel.data.sides import LEAD, SpokenSide
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.session import Session
from convmodel.tokens.speakers import Context, SideIds, join_pieces


class ContextIds(NamedTuple):
    """Token ids of a context, of its persona, and of the text before the reply (the replying speaker's name)."""

    turns: list[list[int]]
    persona: list[list[int]]
    opening: list[int]


def encode_named(
    tokenizer: ConversationTokenizer, context: Context, persona: Sequence[str], session: Session | None = None
) -> ContextIds:
    """Return the token ids of a context; earlier replies of a session have the ids that the model generated."""
    sides: Sequence[str | SpokenSide] = context.turns if context.sides is None else context.sides
    encoded = encode_sides(tokenizer, [*persona, *sides])
    known = {} if session is None else session.ids
    turns = []
    for index, (text, side, ids) in enumerate(zip(context.turns, sides, encoded[len(persona) :], strict=True)):
        is_reply = isinstance(side, str) or side.replies
        generated = known.get((index, context.lead + text)) if is_reply else None
        turns.append(ids.ids if generated is None else [*ids.words, *generated])
    opening = tokenizer.encode(context.opening) if context.opening else []
    return ContextIds(turns, [ids.ids for ids in encoded[: len(persona)]], opening)


def encode_sides(tokenizer: ConversationTokenizer, sides: Sequence[str | SpokenSide]) -> list[SideIds]:
    """Return the token ids of turns; a side of several named speakers has each name before its text.

    Names and texts are encoded separately, so that neither changes the ids of the other.
    """
    pieces = [_pieces(tokenizer, side) for side in sides]
    encoded = iter(tokenizer.encode_many([piece for each in pieces for piece in each]))
    return [join_pieces([next(encoded) for _ in each]) for each in pieces]


def _pieces(tokenizer: ConversationTokenizer, side: str | SpokenSide) -> list[str]:
    """Return the text of a turn; for a side of named speakers, alternately a name with its separator and a text."""
    clean = tokenizer.layout.clean
    if isinstance(side, str):
        return [clean(side)]
    parts = ((words, LEAD if words else "", text) for words, text in side.parts)
    return [piece for words, lead, text in parts for piece in (words, lead + clean(text.removeprefix(lead)))]

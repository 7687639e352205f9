"""The two sides of a conversation with named speakers: the replying speaker, and all others."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from convmodel.data.messages import ROLES

LEAD = " "
"""The white space between a name and a text."""

_LINE_BREAK = re.compile("((?>\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]))(?! )")


class Part(NamedTuple):
    """A text of a side, with the words that introduce it.

    Args:
        words: the words before the text: "Ida:". They begin with a line break, except in the first part.
        text: the text; it begins with `LEAD` if `words` is not empty.
    """

    words: str
    text: str


class SpokenSide(NamedTuple):
    """Consecutive turns of one side.

    Args:
        replies: whether this is the side of the replying speaker.
        parts: the texts.
    """

    replies: bool
    parts: tuple[Part, ...]

    @property
    def said(self) -> str:
        """The texts joined, without the words that introduce them."""
        return "\n".join(text.removeprefix(LEAD) if words else text for words, text in self.parts)

    @property
    def shown(self) -> str:
        """The side as one text, with names before the others' texts, but without that of the replying speaker."""
        return self.said if self.replies else "".join(words + text for words, text in self.parts)


def make_sides(turns: Sequence[str], speakers: Sequence[str], reply_as: str) -> list[SpokenSide]:
    """Return the alternating sides of a conversation: the speaker named `reply_as`, and all others.

    Consecutive turns of a side are joined with newlines. With three or more speakers, `Name: ` precedes each text of
    the others, and each side of the replying speaker unless the name is only a role such as "assistant". All lines of
    the others' texts except the first then begin with a space, so that no line looks like another speaker's text.
    """
    is_group = len({*speakers, reply_as}) > 2
    said = ((name == reply_as, name, text) for name, text in zip(speakers, turns, strict=True))
    sides = ((replies, [each[1:] for each in side]) for replies, side in groupby(said, key=itemgetter(0)))
    return [SpokenSide(replies, tuple(_parts(texts, is_group=is_group, is_own=replies))) for replies, texts in sides]


def _parts(said: Sequence[tuple[str, str]], *, is_group: bool, is_own: bool) -> Iterator[Part]:
    if is_own or not is_group:
        text = "\n".join(text for _, text in said)
        words = opening_words(said[0][0]) if is_group else ""
        yield Part(words, LEAD + text if words else text)
        return
    for index, (name, text) in enumerate(said):
        yield Part("\n" * bool(index) + _label(name), LEAD + _indent(text))


def name_text(name: str, text: str) -> str:
    """Return "Name: text", in the form in which a group conversation shows the texts of the other speakers."""
    return _label(name) + LEAD + _indent(text)


def _indent(text: str) -> str:
    """Return a text with a space before each line except the first."""
    return _LINE_BREAK.sub(r"\1 ", text)


def opening_words(name: str) -> str:
    """Return "Name:", which precedes texts of the replying speaker in a group; "" for a role such as "assistant"."""
    return "" if ROLES.get(name.strip().lower()) == "assistant" else _label(name)


def _label(name: str) -> str:
    """Return a name and a colon. Colons within the name are removed, because they would end it."""
    return f"{' '.join(name.replace(':', ' ').split())}:"


def alternate(turns: Sequence[str], speakers: Sequence[str], reply_as: str) -> tuple[str, ...]:
    """Return the turns of named speakers as the texts of two alternating sides; see `make_sides`."""
    return tuple(side.shown for side in make_sides(turns, speakers, reply_as))

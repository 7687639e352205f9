"""Speakers of a context: either numbered, or combined into two sides (the speaker who replies, and all others)."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from convmodel.data.conversation import check_speakers, check_turns
from convmodel.data.sides import LEAD, SpokenSide, make_sides, opening_words


@dataclass(frozen=True, slots=True)
class Context:
    """The turns of a context in the form that a layout takes.

    Args:
        turns: the texts of the turns; the texts of two alternating sides if the layout distinguishes only two.
        numbers: the index of the speaker of each turn and, at the end, of the one who replies; None if two speakers
            alternate.
        sides: the sides with the names of their speakers; None without names.
        opening: the text before the reply, with the name of the speaker who replies, which is given to the model; ""
            without one.
    """

    turns: Sequence[str]
    numbers: list[int] | None = None
    sides: Sequence[SpokenSide] | None = None
    opening: str = ""

    @property
    def lead(self) -> str:
        """The white space between the opening and the reply."""
        return LEAD if self.opening else ""


class SideIds(NamedTuple):
    """Token ids of a turn, which may contain the names of its speakers.

    Args:
        ids: the ids.
        given: start and stop, in `ids`, of each name before a text. Names are never predicted.
    """

    ids: list[int]
    given: list[tuple[int, int]]

    @property
    def words(self) -> list[int]:
        """The ids before the first text, of its speaker's name; empty without names."""
        return self.ids[: self.given[0][1]] if self.given else []


def join_pieces(pieces: Sequence[list[int]]) -> SideIds:
    """Join pieces, which alternate between the ids of a name and of a text; a single piece is a text."""
    ids: list[int] = []
    given = []
    for index, piece in enumerate(pieces):
        if piece and index % 2 == 0 and index + 1 < len(pieces):
            given.append((len(ids), len(ids) + len(piece)))
        ids += piece
    return SideIds(ids, given)


def own_turns(turns: Sequence[list[int]], speakers: Sequence[int]) -> list[list[int]]:
    """Return the turns of the speaker who replies, newest first; `speakers[-1]` is this speaker."""
    pairs = zip(reversed(turns), reversed(speakers[:-1]), strict=True)
    return [ids for ids, number in pairs if number == speakers[-1]]


def name_speakers(
    context: Sequence[str], speakers: Sequence[str] | None, speaker: str | None, *, keep: bool
) -> Context:
    """Return a context with numbered speakers if `keep`, otherwise a context of two sides.

    Raises:
        ValueError: for names that are missing or invalid, or if one side would reply to itself.
    """
    if speakers is None:
        if speaker is not None:
            raise ValueError(f"speaker={speaker!r} without speakers; give speakers=[...], one name for each turn")
        return Context(context)
    names = check_speakers(speakers, len(context))
    reply_as = find_replier(names, speaker)
    if keep:
        return Context(context, by_appearance([*names, reply_as]))
    if reply_as == names[-1]:
        raise ValueError(f"speaker={reply_as!r} spoke the last turn; give another who replies, or leave the turn out")
    sides = make_sides(context, names, reply_as)
    opening = opening_words(reply_as) if len({*names, reply_as}) > 2 else ""
    return Context([side.shown for side in sides], sides=sides, opening=opening)


def sides_of(
    context: Sequence[str], speakers: Sequence[str] | None = None, speaker: str | None = None
) -> Sequence[str]:
    """Return the texts of a context's turns, combined into two sides; for arguments and errors see `name_speakers`."""
    return name_speakers(check_turns(context), speakers, speaker, keep=False).turns


def find_replier(names: Sequence[str], speaker: str | None) -> str:
    """Return the name of the speaker who replies: `speaker`, or the one of two speakers who did not speak last.

    Raises:
        ValueError: for a name that is missing or invalid.
    """
    if speaker is not None:
        return check_speakers([speaker], 1)[0]
    others = [name for name in dict.fromkeys(names) if name != names[-1]]
    if len(others) != 1:
        known = ", ".join(dict.fromkeys(names))
        raise ValueError(f"speaker is missing, and the speakers are {known}; give the one who replies")
    return others[0]


def by_appearance(speakers: Sequence[Hashable]) -> list[int]:
    """Return speakers as numbers from 0, in the order of their first appearance."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(speakers))}
    return [numbers[name] for name in speakers]

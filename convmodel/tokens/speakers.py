"""The speakers of a context: their numbers, or the two sides that they are made."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from convmodel.data.conversation import check_speakers, check_turns
from convmodel.data.sides import LEAD, SpokenSide, make_sides, opening_words


@dataclass(frozen=True, slots=True)
class Context:
    """The turns of a context as a layout takes them.

    Args:
        turns: their texts, as they are shown; those of two sides if the layout tells no more apart.
        numbers: the number of the speaker of each turn and of the one who replies; None if two alternate.
        sides: the sides with names; None without names.
        opening: the words before the reply that the model is given, with the name of the one who replies; "" for none.
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
    """Token ids of a turn.

    Args:
        ids: the ids.
        given: start and stop of the words that nobody said: the names before the texts, which are never predicted.
    """

    ids: list[int]
    given: list[tuple[int, int]]

    @property
    def words(self) -> list[int]:
        """The ids of the words before the first text."""
        return self.ids[: self.given[0][1]] if self.given else []


def join_pieces(pieces: Sequence[list[int]]) -> SideIds:
    """Join the ids of the words before each text and of the text; a single piece is a text."""
    ids: list[int] = []
    given = []
    for index, piece in enumerate(pieces):
        if piece and index % 2 == 0 and index + 1 < len(pieces):
            given.append((len(ids), len(ids) + len(piece)))
        ids += piece
    return SideIds(ids, given)


def own_turns(turns: Sequence[list[int]], speakers: Sequence[int]) -> list[list[int]]:
    """Return the turns of the speaker who replies, the last of `speakers`, the newest first."""
    pairs = zip(reversed(turns), reversed(speakers[:-1]), strict=True)
    return [ids for ids, number in pairs if number == speakers[-1]]


def name_speakers(
    context: Sequence[str], speakers: Sequence[str] | None, speaker: str | None, *, keep: bool
) -> Context:
    """Return a context with the numbers of its speakers, or, unless they are to be kept apart (`keep`), its two sides.

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
    """Return the turns of a context as the texts of two sides; for arguments and errors see `name_speakers`."""
    return name_speakers(check_turns(context), speakers, speaker, keep=False).turns


def find_replier(names: Sequence[str], speaker: str | None) -> str:
    """Return the name of the one who replies: `speaker`, or the only other one of two.

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

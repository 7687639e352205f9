"""The speakers of a context: their numbers, or the two sides that they are made."""

from collections.abc import Hashable, Sequence

from convmodel.data.conversation import alternate, check_speakers


def own_turns(turns: Sequence[list[int]], speakers: Sequence[int]) -> list[list[int]]:
    """Return the turns of the speaker who replies, the last of `speakers`, the newest first."""
    pairs = zip(reversed(turns), reversed(speakers[:-1]), strict=True)
    return [ids for ids, number in pairs if number == speakers[-1]]


def name_speakers(
    context: Sequence[str], speakers: Sequence[str] | None, speaker: str | None, *, keep: bool
) -> tuple[Sequence[str], list[int] | None]:
    """Return the turns of a context, and the number of each speaker and of the one who replies.

    Unless the speakers are to be kept apart (`keep`), the turns are those of two alternating sides (see `alternate`),
    without numbers.

    Raises:
        ValueError: for names that are missing or invalid, or if one side would reply to itself.
    """
    if speakers is None:
        if speaker is not None:
            raise ValueError(f"speaker={speaker!r} without speakers; give speakers=[...], one name for each turn")
        return context, None
    names = check_speakers(speakers, len(context))
    others = [name for name in dict.fromkeys(names) if name != names[-1]]
    if speaker is None and len(others) != 1:
        known = ", ".join(dict.fromkeys(names))
        raise ValueError(f"speaker is missing, and the speakers are {known}; give the one who replies")
    reply_as = others[0] if speaker is None else check_speakers([speaker], 1)[0]
    if keep:
        return context, by_appearance([*names, reply_as])
    if reply_as == names[-1]:
        raise ValueError(f"speaker={reply_as!r} spoke the last turn; give another who replies, or leave the turn out")
    return alternate(context, names, reply_as), None


def by_appearance(speakers: Sequence[Hashable]) -> list[int]:
    """Return speakers as numbers from 0, in the order of their first appearance."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(speakers))}
    return [numbers[name] for name in speakers]

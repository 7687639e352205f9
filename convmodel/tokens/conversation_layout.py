"""Turns as token ids in, one laid-out sequence of ids and types out: the picture that training and replying share.

    persona sentence    turn 1        turn 2           the reply
    <sep> I  am  Ann  <sep> Hello  <sep> How are you  <sep> ...
      t   t  t   t      0    0       1    1   1   1     t   t      t: the type of the speaker who replies

A separator stands before each persona sentence and each turn, and one at the end. The type alternates by turn, from 0.
The last separator already belongs to the next speaker, so the reply's tokens simply follow it. What is left out is
left out by whole turns from the oldest, and the rest is laid out as though the dropped turns had never been said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

TrainOn = Literal["all", "last", "last_speaker", "first_speaker", "second_speaker"]
"""Which turns are learned: all of them, the last one, or those of one speaker."""

IGNORED = -100
"""The label of a token that is not predicted, as in transformers."""


@dataclass(frozen=True, slots=True)
class Window:
    """A run of turns of one conversation that is laid out and read together.

    Args:
        first: the first turn that is read.
        predict_from: the first turn that may be predicted; those before it are only context.
        stop: the turn after the last one.
        cut: tokens taken from the start of the newest turn, because it alone is too long.
    """

    first: int
    predict_from: int
    stop: int
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Sequences:
    """One laid-out conversation: three lists of the same length T; labels are -100 where nothing is predicted.

    Args:
        input_ids, token_type_ids, labels: T of each.
        metadata: how many of the first tokens are about the text and no part of it, as a persona is.
    """

    input_ids: list[int]
    token_type_ids: list[int]
    labels: list[int]
    metadata: int = 0


def persona_length(persona: Sequence[Sequence[int]]) -> int:
    """Tokens that a persona takes in the layout, its separators included."""
    return sum(len(sentence) + 1 for sentence in persona)


def room_for_turns(persona_tokens: int, max_length: int, *, least: int = 2) -> int:
    """Tokens left for turns (each with its separator) when persona and last separator are laid out.

    Raises:
        ValueError: when not even `least` tokens are left.
    """
    room = max_length - 1 - persona_tokens
    if room < least:
        raise ValueError(
            f"{max_length} tokens leave no room for a turn beside the persona's {persona_tokens} tokens and the last "
            f"separator; shorten the persona, or let there be at least {persona_tokens + 1 + least} tokens"
        )
    return room


def truncate(lengths: Sequence[int], room: int, *, stop: int | None = None) -> Window:
    """The newest turns before `stop` that fit in `room` tokens; the newest is cut only when it alone is too long.

    Args:
        lengths: tokens of each turn, without separators.
        room: tokens that the turns and their separators may take.
        stop: the turn after the newest; all turns when left out.
    """
    stop = len(lengths) if stop is None else stop
    newest = lengths[stop - 1] + 1
    if newest > room:
        return Window(stop - 1, stop - 1, stop, cut=newest - room)
    first, used = stop - 1, newest
    while first > 0 and used + lengths[first - 1] + 1 <= room:
        first -= 1
        used += lengths[first] + 1
    return Window(first, stop - 1, stop)


def truncate_with_hysteresis(lengths: Sequence[int], room: int, *, keep: float) -> Window:
    """As `fit`, but where turns must go, so many that those which stay take at most a share of the room.

    A growing conversation keeps its beginning for many turns, then loses several of the oldest at once: what a model
    has read of it stays valid in between. The window of a conversation depends on its turns alone, not on who asked
    when.

    Args:
        lengths: tokens of each turn, without separators.
        room: tokens that the turns and their separators may take.
        keep: above 0, the share of the room that stays; 1 gives the windows of `fit`.
    """
    first = used = 0
    for stop, length in enumerate(lengths, 1):
        used += length + 1
        if used > room:
            first = truncate(lengths, max(int(room * keep), min(length + 1, room)), stop=stop).first
            used = sum(lengths[first:stop]) + stop - first
    stop = len(lengths)
    return Window(first, stop - 1, stop, cut=max(0, used - room))


def target_turns(train_on: TrainOn, turns: int) -> range:
    """The numbers of the turns that are predicted in a conversation of so many turns.

    Raises:
        ValueError: when `train_on` is not one of the choices.
    """
    if train_on == "all":
        return range(turns)
    if train_on == "last":
        return range(turns - 1, turns)
    if train_on == "last_speaker":
        return range((turns - 1) % 2, turns, 2)
    if train_on == "first_speaker":
        return range(0, turns, 2)
    if train_on == "second_speaker":
        return range(1, turns, 2)
    raise ValueError(f"train_on={train_on!r}; allowed are {', '.join(get_args(TrainOn))}")


def split_into_windows(
    lengths: Sequence[int], room: int, *, train_on: TrainOn = "all", context_share: float = 0.5
) -> list[Window]:
    """Splits a conversation so that every target turn is predicted in exactly one window.

    A conversation that fits is one window. Of a longer one, the first window takes all that fits; each later one takes
    new turns up to `1 - context_share` of the room (at least one) and fills what is left with the turns before them.

    Args:
        lengths: tokens of each turn, without separators.
        room: tokens that the turns and their separators may take in a window.
        train_on: which turns are predicted.
        context_share: from 0 to 1, the part of a later window that is kept for earlier turns. At 1 each later window
            predicts one turn with all the context that fits: the most context, and the most work.
    """
    chosen = target_turns(train_on, len(lengths))
    found: list[Window] = []
    position, budget = 0, room
    while position < len(chosen):
        start = end = chosen[position]
        if not found:  # nothing before the first window has been predicted: its context counts against the room
            start = 0
            if sum(lengths[: end + 1]) + end + 1 > room:
                start = end
        used = sum(lengths[start:end]) + end - start
        stop = end
        while position < len(chosen):
            turn = chosen[position]
            used += sum(lengths[stop : turn + 1]) + turn + 1 - stop
            if used > budget and stop > end:
                break
            stop = turn + 1
            position += 1
        window = truncate(lengths, room, stop=stop)
        found.append(Window(window.first, end, stop, window.cut))
        budget = int(room * (1 - context_share))
    return found


def lay_out(
    turns: Sequence[Sequence[int]],
    sep_token_id: int,
    *,
    persona: Sequence[Sequence[int]] = (),
    persona_type: int | None = None,
    predicted: Sequence[bool] | None = None,
) -> Sequences:
    """Lays turns out; the only place where separators, types and labels are put.

    Args:
        turns: token ids of each turn that is kept.
        sep_token_id: the separator.
        persona: token ids of each persona sentence.
        persona_type: the type of the speaker whom the persona describes; the one who replies when left out.
        predicted: for each turn, whether its tokens and the separator that ends it are labels; none when left out.
    """
    reply_type = len(turns) % 2
    persona_type = reply_type if persona_type is None else persona_type
    ids: list[int] = []
    types: list[int] = []
    labels: list[int] = []
    for sentence in persona:
        ids.append(sep_token_id)
        ids.extend(sentence)
    types.extend([persona_type] * len(ids))
    ids.append(sep_token_id)
    labels.extend([IGNORED] * len(ids))
    for number, turn in enumerate(turns):
        ids.extend(turn)
        ids.append(sep_token_id)
        types.extend([number % 2] * (len(turn) + 1))
        if predicted is not None and predicted[number]:
            labels.extend(turn)
            labels.append(sep_token_id)
        else:
            labels.extend([IGNORED] * (len(turn) + 1))
    types.append(reply_type)
    return Sequences(ids, types, labels, persona_length(persona))

"""Lay out a conversation as one sequence of token ids, token types and labels, for training and generation alike.

    persona sentence    turn 1        turn 2           the reply
    <sep> I  am  Ann  <sep> Hello  <sep> How are you  <sep> ...
      t   t  t   t      0    0       1    1   1   1     t   t      t: the type of the speaker who replies

There is a separator before each persona sentence and before each turn, and one at the end. The type alternates by
turn, starting from 0. The last separator already belongs to the next speaker, so the reply's tokens simply follow it.
A context that is too long loses whole turns, oldest first, and the rest is laid out as though the dropped turns had
never existed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from convmodel.errors import PersonaTooLong

TrainOn = Literal["all", "last", "last_speaker", "first_speaker", "second_speaker"]
"""The turns to predict: all of them, the last one, or those of one speaker."""

IGNORED = -100
"""The label of a token that is not predicted, as in transformers."""

MIN_ROOM = 2
"""The smallest useful room for turns: one token and its separator."""


@dataclass(frozen=True, slots=True)
class Window:
    """A run of turns of one conversation that is laid out as one sequence.

    It holds the turns from `first` up to `stop`; those before `predict_from` are only context. From the start of the
    newest turn `cut` tokens are cut, because that turn alone is too long.
    """

    first: int
    predict_from: int
    stop: int
    cut: int = 0


@dataclass(frozen=True, slots=True)
class ConversationSequence:
    """The layout of one conversation: three lists of the same length T, with labels of -100 where nothing is predicted.

    `metadata` is the number of leading tokens that describe the text without being part of it, such as a persona.
    """

    input_ids: list[int]
    token_type_ids: list[int]
    labels: list[int]
    metadata: int = 0


def persona_length(persona: Sequence[Sequence[int]]) -> int:
    """Return the number of tokens that a persona takes in the layout, including its separators."""
    return sum(len(sentence) + 1 for sentence in persona)


def room_for_turns(persona_tokens: int, max_length: int, *, min_room: int = MIN_ROOM) -> int:
    """Return the number of tokens left for turns and their separators; raise ValueError if too few are left."""
    room = max_length - 1 - persona_tokens
    if room < min_room:
        raise ValueError(
            f"{max_length} tokens leave no room for a turn beside the persona's {persona_tokens} tokens and the last "
            f"separator; shorten the persona, or let there be at least {persona_tokens + 1 + min_room} tokens"
        )
    return room


def truncate(lengths: Sequence[int], room: int, *, stop: int | None = None) -> Window:
    """Select the newest turns before `stop` that fit in `room` tokens, separators included.

    The lengths are without separators. The newest turn is cut only when it alone is too long.
    """
    stop = len(lengths) if stop is None else stop
    newest = lengths[stop - 1] + 1
    if newest > room:
        return Window(stop - 1, stop - 1, stop, cut=newest - room)
    first = stop - 1
    used = newest
    while first > 0 and used + lengths[first - 1] + 1 <= room:
        first -= 1
        used += lengths[first] + 1
    return Window(first, stop - 1, stop)


def truncate_with_hysteresis(lengths: Sequence[int], room: int, *, keep: float) -> Window:
    """Like `truncate`, but when turns must be dropped, drop enough that the rest takes at most `keep` of the room.

    A growing conversation keeps its beginning for many turns and then loses several of the oldest at once, so a
    key-value cache of its beginning stays valid in between. The window depends on the turns alone, not on the moments
    at which it was computed before. A `keep` of 1 gives the same windows as `truncate`.
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
    """Return the indices of the turns to predict in a conversation of `turns` turns."""
    ranges = {
        "all": range(turns),
        "last": range(turns - 1, turns),
        "last_speaker": range((turns - 1) % 2, turns, 2),
        "first_speaker": range(0, turns, 2),
        "second_speaker": range(1, turns, 2),
    }
    if train_on not in ranges:
        raise ValueError(f"train_on={train_on!r}; allowed are {', '.join(ranges)}")
    return ranges[train_on]


def split_into_windows(
    lengths: Sequence[int], room: int, *, train_on: TrainOn = "all", context_share: float = 0.5
) -> list[Window]:
    """Split a conversation so that every target turn is predicted in exactly one window.

    A conversation that fits is one window. Of a longer one, the first window takes all turns that fit; each later
    window takes new turns up to `1 - context_share` of the room (at least one) and fills the rest with earlier turns.
    At 1 each later window predicts one turn with all the context that fits: the most context, and the most computation.

    Args:
        lengths: number of tokens of each turn, without separators.
        room: number of tokens that the turns and their separators may take in a window.
        context_share: share of a later window that is reserved for earlier turns, from 0 to 1.
    """
    targets = target_turns(train_on, len(lengths))
    windows: list[Window] = []
    position = 0
    budget = room
    while position < len(targets):
        start = end = targets[position]
        if not windows:  # nothing before the first window has been predicted: its context counts against the room
            start = 0
            if sum(lengths[: end + 1]) + end + 1 > room:
                start = end
        used = sum(lengths[start:end]) + end - start
        stop = end
        while position < len(targets):
            turn = targets[position]
            used += sum(lengths[stop : turn + 1]) + turn + 1 - stop
            if used > budget and stop > end:
                break
            stop = turn + 1
            position += 1
        window = truncate(lengths, room, stop=stop)
        windows.append(Window(window.first, end, stop, window.cut))
        budget = int(room * (1 - context_share))
    return windows


def place_separators(segments: Iterable[Sequence[int]], sep_token_id: int, *, leading: bool = True) -> list[int]:
    """Join segments with a separator after each one and, if `leading`, one before the first.

    Segments that continue a laid-out context need no leading one: the context's last separator stands before them.
    """
    ids = [sep_token_id] if leading else []
    for segment in segments:
        ids.extend(segment)
        ids.append(sep_token_id)
    return ids


def lay_out(
    turns: Sequence[Sequence[int]],
    sep_token_id: int,
    *,
    persona: Sequence[Sequence[int]] = (),
    persona_type: int | None = None,
    predicted: Sequence[bool] | None = None,
    cut: int = 0,
) -> ConversationSequence:
    """Lay out turns that fit, with separators, types and labels.

    Args:
        persona_type: type of the speaker whom the persona describes; by default the speaker who replies.
        predicted: for each turn, whether its tokens and the separator that ends it are labels; by default none are.
        cut: number of tokens to cut from the start of the newest turn.
    """
    turns = [*turns[:-1], *(turn[cut:] for turn in turns[-1:])]
    reply_type = len(turns) % 2
    metadata = persona_length(persona)
    types = [reply_type if persona_type is None else persona_type] * metadata
    labels = [IGNORED] * (metadata + 1)
    for index, turn in enumerate(turns):
        types.extend([index % 2] * (len(turn) + 1))
        if predicted is not None and predicted[index]:
            labels.extend(turn)
            labels.append(sep_token_id)
        else:
            labels.extend([IGNORED] * (len(turn) + 1))
    types.append(reply_type)
    return ConversationSequence(place_separators([*persona, *turns], sep_token_id), types, labels, metadata)


def lay_out_context(
    turns: Sequence[Sequence[int]],
    sep_token_id: int,
    *,
    persona: Sequence[Sequence[int]] = (),
    max_length: int | None = None,
    reserved: int = 0,
    keep: float = 1.0,
) -> tuple[ConversationSequence, Window]:
    """Drop the oldest turns of a context until it fits, and return its layout without labels, and its window of turns.

    Raises ValueError if persona and reserved tokens leave no room for a turn.

    Args:
        turns: token ids of each turn so far, at least one.
        persona: token ids of each persona sentence; they are never dropped.
        max_length: maximum number of tokens; None keeps all turns.
        reserved: number of these tokens to leave free behind the context.
        keep: share of the room to fill when turns are dropped; see `truncate_with_hysteresis`.
    """
    window = Window(0, 0, len(turns))
    if max_length is not None:
        min_room = MIN_ROOM + reserved
        try:
            room = room_for_turns(persona_length(persona), max_length, min_room=min_room) - reserved
        except ValueError as error:
            lengths = accumulate(len(sentence) + 1 for sentence in reversed(persona))
            room = max_length - 1 - reserved
            room -= max(MIN_ROOM, min(len(turns[-1]) + 1, room // 2))
            raise PersonaTooLong(str(error), fitting=sum(length <= room for length in lengths)) from None
        window = truncate_with_hysteresis([len(ids) for ids in turns], room, keep=keep)
    return lay_out(turns[window.first :], sep_token_id, persona=persona, cut=window.cut), window

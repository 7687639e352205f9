"""Choose the turns that fit into a window, from lengths alone, by the tokens that a layout adds to each text.

Lengths are those of the turns as a layout with one separator counts them: `LayoutCosts.turn_lengths` gives them for any
layout. Whole turns are dropped, oldest first, and every turn is predicted in exactly one window of its conversation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

import numpy as np

from convmodel.errors import PersonaTooLong

TrainOn = Literal["all", "last", "last_speaker", "first_speaker", "second_speaker"]
"""The turns to predict: all of them, the last one, or those of one speaker."""


@dataclass(frozen=True, slots=True, eq=False)
class LayoutCosts:
    """Numbers of tokens that a layout adds to the texts of a conversation; by default those of separators.

    Args:
        turn: tokens that the layout adds to each turn, of the other side and of the replying side.
        sentence: tokens that the layout adds to each persona sentence.
        edges: (2, 2, 2, 2) numbers of tokens at the beginning and the end of a window together. The four indices are 1
            if there is a persona, if the replying side spoke the first turn, if it spoke the last turn, and if a reply
            follows.
        noun: name of the tokens at the edges in error messages.
    """

    turn: tuple[int, int] = (1, 1)
    sentence: int = 1
    edges: np.ndarray = field(default_factory=lambda: np.ones((2, 2, 2, 2), dtype=np.int64))
    noun: str = "the last separator"

    @property
    def min_room(self) -> int:
        """The smallest useful room for turns: one token of a text with the tokens that the layout adds to it."""
        return 1 + max(self.turn)

    def edge(self, *, persona: bool, is_open: bool) -> int:
        """Return the maximum number of layout tokens at both ends of a window; with `is_open`, a reply follows."""
        return int(self.edges[int(persona), :, :, int(is_open)].max())

    def edges_of(self, personas: np.ndarray, first_is_reply: np.ndarray, last_is_reply: np.ndarray) -> np.ndarray:
        """Return the numbers of layout tokens (N,) at both ends of windows that no reply follows, from (N,) masks."""
        persona, first, last = (mask.astype(np.int64) for mask in (personas, first_is_reply, last_is_reply))
        edges: np.ndarray = self.edges[persona, first, last, 0]
        return edges

    def min_context(self, *, persona: bool = False) -> int:
        """Return the smallest useful length of a context beside the sentences of its persona."""
        return self.edge(persona=persona, is_open=True) + self.min_room

    def persona_length(self, persona: Iterable[Sequence[int]]) -> int:
        """Return the number of tokens that a persona takes."""
        return sum(len(sentence) + self.sentence for sentence in persona)

    def turn_lengths(self, lengths: Sequence[int], *, last_is_reply: bool) -> list[int]:
        """Return the cost of each turn in tokens minus one, as the functions of this module expect it."""
        extra = [self.turn[(len(lengths) - 1 - index) % 2 != last_is_reply] - 1 for index in range(len(lengths))]
        return [length + more for length, more in zip(lengths, extra, strict=True)]


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


def room_for_turns(
    persona_tokens: int, max_length: int, *, min_room: int = 2, edge: int = 1, noun: str = "the last separator"
) -> int:
    """Return the number of tokens left for turns beside a persona and the `edge`; ValueError if too few are left."""
    room = max_length - edge - persona_tokens
    if room < min_room:
        needed = persona_tokens + edge + min_room
        raise ValueError(
            f"{max_length} tokens leave no room for a turn beside the persona's {persona_tokens} tokens and {noun}; "
            f"shorten the persona, or let there be at least {needed} tokens"
        )
    return room


def truncate(lengths: Sequence[int], room: int, *, stop: int | None = None) -> Window:
    """Select the newest turns before `stop` that fit in `room` tokens.

    The lengths are one less than the turns' costs. The newest turn is cut only when it alone is too long.
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


def turns_of_speakers(train_on: TrainOn, speakers: Sequence[int]) -> Sequence[int]:
    """Return the indices of the turns to predict in a conversation, from the number of the speaker of each turn."""
    speaker = {"last_speaker": speakers[-1], "first_speaker": 0, "second_speaker": 1}.get(train_on)
    if speaker is None:
        return target_turns(train_on, len(speakers))
    return [turn for turn, number in enumerate(speakers) if number == speaker]


def split_into_windows(
    lengths: Sequence[int],
    room: int,
    *,
    train_on: TrainOn = "all",
    context_share: float = 0.5,
    targets: Sequence[int] | None = None,
) -> list[Window]:
    """Split a conversation so that every target turn is predicted in exactly one window.

    A conversation that fits is one window. Of a longer one, the first window takes all turns that fit; each later
    window takes new turns up to `1 - context_share` of the room (at least one) and fills the rest with earlier turns.
    With a share of 1, each later window predicts one turn with all the context that fits, which takes the most
    computation.

    Args:
        lengths: one less than the cost of each turn in tokens; see `LayoutCosts.turn_lengths`.
        room: number of tokens that the turns may take in a window.
        context_share: share of a later window that is reserved for earlier turns, from 0 to 1.
        targets: indices of the turns to predict; by default those of `train_on` where two speakers alternate.
    """
    targets = target_turns(train_on, len(lengths)) if targets is None else targets
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


def fit_context(
    turns: Sequence[Sequence[int]],
    costs: LayoutCosts,
    *,
    persona: Sequence[Sequence[int]] = (),
    max_length: int | None = None,
    reserved: int = 0,
    keep: float = 1.0,
) -> Window:
    """Return the window of a context's newest turns that fit.

    Raises ValueError if persona and reserved tokens leave no room for a turn.

    Args:
        turns: token ids of each turn so far, at least one; the next one is the reply.
        persona: token ids of each persona sentence; they are never dropped.
        max_length: maximum number of tokens; None keeps all turns.
        reserved: number of tokens out of `max_length` to leave free after the context.
        keep: share of the room to fill when turns are dropped; see `truncate_with_hysteresis`.
    """
    if max_length is None:
        return Window(0, 0, len(turns))
    lengths = costs.turn_lengths([len(ids) for ids in turns], last_is_reply=False)
    edge = costs.edge(persona=bool(persona), is_open=True)
    min_room = costs.min_room + reserved
    try:
        room = room_for_turns(costs.persona_length(persona), max_length, min_room=min_room, edge=edge, noun=costs.noun)
    except ValueError as error:
        taken = accumulate(len(sentence) + costs.sentence for sentence in reversed(persona))
        room = max_length - edge - reserved
        room -= max(costs.min_room, min(lengths[-1] + 1, room // 2))
        raise PersonaTooLong(str(error), fitting=sum(length <= room for length in taken)) from None
    return truncate_with_hysteresis(lengths, room - reserved, keep=keep)

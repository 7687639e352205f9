"""Split the conversations of a token store into windows of at most `max_length` tokens, and lay the windows out."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field

import numpy as np

from convmodel.tokens.batching import Batch, pad
from convmodel.tokens.conversation_layout import ConversationLayout, ConversationSequence, ignore
from convmodel.tokens.store import TokenStore
from convmodel.tokens.turn_windows import (
    LayoutCosts,
    TrainOn,
    room_for_turns,
    split_into_windows,
    target_turns,
    turns_of_speakers,
)


@dataclass
class WindowCounts:
    """Counts of the conversations and turns that do not fit in a window.

    `split` is the number of conversations in several windows, `cut_turns` the number of turns that are cut.
    """

    split: int = 0
    cut_turns: int = 0
    dropped: list[int] = field(default_factory=list)
    """Indices of the conversations whose persona leaves no room for a turn."""
    crowded: int = 0
    """Number of conversations with more speakers than the layout distinguishes (its `max_speakers`)."""


class WindowPlan:
    """Division of conversations into windows of turns, from lengths alone; see `turn_windows.split_into_windows`.

    Args:
        lengths: (S,) number of tokens of every segment (a persona sentence or a turn), without tokens of the layout.
        first: (C + 1,) index of the first segment of each conversation, then S.
        prefix_segments: (C,) number of persona sentences of each conversation.
        costs: the tokens that the layout adds.
        speakers: (S,) index of the speaker of every segment, in the order of first appearance; None if two speakers
            alternate in all conversations.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        *,
        first: np.ndarray,
        prefix_segments: np.ndarray,
        max_length: int,
        train_on: TrainOn = "all",
        context_share: float = 0.5,
        costs: LayoutCosts | None = None,
        speakers: np.ndarray | None = None,
    ) -> None:
        self._train_on = train_on
        self._speakers = speakers
        self.counts = WindowCounts()
        layout = costs or LayoutCosts()
        first_turn = first[:-1] + prefix_segments
        self._first_turn = first_turn
        self._turns = first[1:] - first_turn
        self._first_segment = first[:-1]
        self._is_named = self._find_named()
        sums = np.append(0, np.cumsum(lengths + beside_segments(layout, first=first, prefix_segments=prefix_segments)))
        persona = sums[first_turn] - sums[first[:-1]]
        edges = np.where(prefix_segments > 0, *(layout.edge(persona=has, is_open=False) for has in (True, False)))
        short = persona + sums[first[1:]] - sums[first_turn] + edges <= max_length
        split = self._split(np.flatnonzero(~short), lengths, persona, max_length, context_share, layout)
        rows = np.concatenate([self._whole(np.flatnonzero(short)), split])
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        self._conversation, self._first, self._predict_from, self._stop, self._cut = rows.T
        start = self._first_turn[self._conversation]
        turn_tokens = sums[start + self._stop] - sums[start + self._first]
        last = self._turns[self._conversation] - 1
        ends = ((last - turn) % 2 == 0 for turn in (self._first, self._stop - 1))
        edge = layout.edges_of(prefix_segments[self._conversation] > 0, *ends)
        self.lengths = persona[self._conversation] + turn_tokens + edge - self._cut

    def __len__(self) -> int:
        return len(self._conversation)

    @property
    def conversations(self) -> int:
        """Number of conversations with at least one predicted turn."""
        return len(np.unique(self._conversation))

    def _find_named(self) -> np.ndarray:
        """Return (C,) booleans: true for conversations whose turns do not simply alternate between two speakers."""
        if self._speakers is None:
            return np.zeros(len(self._turns), dtype=bool)
        turns = zip(self._first_turn.tolist(), self._turns.tolist(), strict=True)
        return np.array([bool((self._speakers[a : a + n] != np.arange(n) % 2).any()) for a, n in turns], dtype=bool)

    def _speakers_of(self, conversation: int) -> list[int] | None:
        """Return the index of the speaker of each turn of a conversation; None if two speakers alternate."""
        if self._speakers is None or not self._is_named[conversation]:
            return None
        start = self._first_turn[conversation]
        numbers: list[int] = self._speakers[start : start + self._turns[conversation]].tolist()
        return numbers

    def _targets(self, n: int) -> Sequence[int]:
        """Return the indices of the turns that window `n` predicts."""
        if (speakers := self._speakers_of(int(self._conversation[n]))) is not None:
            turns = turns_of_speakers(self._train_on, speakers)
            return [turn for turn in turns if self._predict_from[n] <= turn < self._stop[n]]
        targets = target_turns(self._train_on, int(self._turns[self._conversation[n]]))
        begin = max(self._predict_from[n] - targets.start + targets.step - 1, 0) // targets.step
        end = max(self._stop[n] - targets.start + targets.step - 1, 0) // targets.step
        return targets[int(begin) : int(end)]

    def _whole(self, conversations: np.ndarray) -> np.ndarray:
        """Return one row (conversation, first, predict_from, stop, cut) for each conversation that fits into a window.

        The window ends with the last predicted turn. A conversation without predicted turns has no row.
        """
        lengths, by_length = np.unique(self._turns[conversations], return_inverse=True)
        targets = [target_turns(self._train_on, int(turns)) for turns in lengths]
        begin = np.array([t[0] if len(t) else -1 for t in targets], dtype=np.int64)[by_length]
        stop = np.array([t[-1] + 1 if len(t) else 0 for t in targets], dtype=np.int64)[by_length]
        for row in np.flatnonzero(self._is_named[conversations]).tolist():
            speakers = self._speakers_of(int(conversations[row])) or []
            turns = turns_of_speakers(self._train_on, speakers)
            begin[row] = turns[0] if turns else -1
            stop[row] = turns[-1] + 1 if turns else 0
        zeros = np.zeros_like(conversations)
        return np.stack([conversations, zeros, begin, stop, zeros], axis=1)[begin >= 0]

    def _split(
        self,
        conversations: np.ndarray,
        lengths: np.ndarray,
        persona: np.ndarray,
        max_length: int,
        context_share: float,
        costs: LayoutCosts,
    ) -> np.ndarray:
        """Return the rows, see `_whole`, of the windows of conversations that do not fit into one window."""
        rows: list[tuple[int, ...]] = []
        for conversation in conversations.tolist():
            start = self._first_turn[conversation]
            edge = costs.edge(persona=bool(start > self._first_segment[conversation]), is_open=False)
            try:
                room = room_for_turns(int(persona[conversation]), max_length, min_room=costs.min_room, edge=edge)
            except ValueError:
                self.counts.dropped.append(conversation)
                continue
            texts = lengths[start : start + self._turns[conversation]].tolist()
            turn_lengths = costs.turn_lengths(texts, last_is_reply=True)
            speakers = self._speakers_of(conversation)
            windows = split_into_windows(
                turn_lengths,
                room,
                train_on=self._train_on,
                context_share=context_share,
                targets=None if speakers is None else turns_of_speakers(self._train_on, speakers),
            )
            rows.extend((conversation, *astuple(window)) for window in windows)
            self.counts.split += len(windows) > 1
            self.counts.cut_turns += sum(window.cut > 0 for window in windows)
        return np.array(rows, dtype=np.int64).reshape(-1, 5)


def beside_segments(costs: LayoutCosts, *, first: np.ndarray, prefix_segments: np.ndarray) -> np.ndarray:
    """Return the numbers of tokens (S,) that a layout adds to each segment; for arguments see `WindowPlan`.

    The last turn of each conversation counts as a turn of the replying side."""
    segments = np.diff(first)
    offset = np.arange(int(first[-1] if len(first) else 0)) - np.repeat(first[:-1], segments)
    to_last = np.repeat(segments, segments) - 1 - offset
    of_turn = np.where(to_last % 2 == 0, costs.turn[1], costs.turn[0])
    return np.where(offset < np.repeat(prefix_segments, segments), costs.sentence, of_turn)


class WindowSet(WindowPlan):
    """The windows of all conversations of a store. A window is laid out when it is read; see `WindowPlan`."""

    def __init__(
        self,
        store: TokenStore,
        *,
        layout: ConversationLayout,
        max_length: int,
        train_on: TrainOn = "all",
        context_share: float = 0.5,
    ) -> None:
        super().__init__(
            store.segment_lengths(),
            first=store.first,
            prefix_segments=store.prefix_segments,
            max_length=max_length,
            train_on=train_on,
            context_share=context_share,
            costs=layout.costs,
            speakers=store.speakers if layout.max_speakers > 2 else None,
        )
        named = map(self._speakers_of, np.flatnonzero(self._is_named).tolist())
        self.counts.crowded = sum(max(speakers or ()) >= layout.max_speakers for speakers in named)
        self._store = store
        self._layout = layout

    def words(self) -> int:
        """Return the number of white-space separated words of all predicted turns.

        A loss per word is comparable between vocabularies, unlike a loss per token.
        """
        starts = self._first_turn[self._conversation]
        return sum(int(self._store.words[starts[n] + turn]) for n in range(len(self)) for turn in self._targets(n))

    def predicted(self, n: int) -> tuple[int, Sequence[int]]:
        """Return the index of window `n`'s conversation and the indices of its predicted turns, in order."""
        return int(self._conversation[n]), self._targets(n)

    def read(self, indices: Iterable[int]) -> list[ConversationSequence]:
        """Return the windows of these indices, laid out with labels."""
        return [self._read(int(n)) for n in indices]

    def read_batch(self, indices: Iterable[int]) -> Batch:
        """Return the windows of these indices as one batch, padded on the right."""
        return self.collate(self.read(indices))

    def collate(self, rows: Sequence[ConversationSequence]) -> Batch:
        """Return laid-out windows as one batch, padded on the right."""
        return pad(rows, pad_token_id=self._layout.pad_token_id)

    def _read(self, n: int) -> ConversationSequence:
        conversation = self._conversation[n]
        first = int(self._first[n])
        stop = int(self._stop[n])
        start = int(self._first_turn[conversation])
        predicted = set(self._targets(n))
        speakers = self._speakers_of(int(conversation))
        sequence = self._layout.lay_out(
            self._store.segments(start + first, start + stop),
            persona=self._store.segments(int(self._store.first[conversation]), start),
            last_is_reply=(int(self._turns[conversation]) - stop) % 2 == 0,
            predicted=[turn in predicted for turn in range(first, stop)],
            cut=int(self._cut[n]),
            speakers=None if speakers is None else [*speakers[first:stop], speakers[-1]],
        )
        if self._store.names:
            for turn in range(first, stop):
                ignore(sequence, turn - first, self._store.given(start + turn), cut=int(self._cut[n]))
        return sequence

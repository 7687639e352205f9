"""Checks of speakers: one-sided conversations, repeated turns, and the number of tokens of each speaker."""

from collections import Counter
from operator import eq

import numpy as np

from convmodel.reports.inspection.chunks import Chunk
from convmodel.reports.inspection.findings import Tally, excerpt

ONE_SIDED = 0.9
"""Minimum share of the tokens by one speaker in a one-sided conversation."""

MIN_TURNS = 4
MIN_TOKENS = 40
"""Minimum numbers of turns and tokens of a one-sided conversation. In shorter ones, lengths often differ much."""

SAME = 3
"""Minimum number of turns, all of them equal, of a monotone speaker."""

_MAX_CHARACTERS = 60  # longer turns are rarely repeated
_MAX_COUNTED = 200_000


class SpeakerTally:
    """Checks the speakers of conversations, and counts their tokens and turns."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.tokens = [0, 0]
        self._frequent: Counter[str] = Counter()

    def add(self, chunk: Chunk, tokens: np.ndarray) -> None:
        """Check a chunk. `tokens`, (S,), are the numbers of tokens of its segments."""
        rows = len(chunk.conversations)
        turns = chunk.turn_indices >= 0
        spoken = np.zeros((2, rows), dtype=np.int64)
        for speaker in (0, 1):
            own = turns & (chunk.turn_indices % 2 == speaker)
            spoken[speaker] = np.bincount(chunk.owners[own], weights=tokens[own], minlength=rows)
            self.tokens[speaker] += int(spoken[speaker].sum())
        total = spoken.sum(axis=0)
        long_enough = (np.diff(chunk.first) - chunk.personas >= MIN_TURNS) & (total >= MIN_TOKENS)
        for row in np.flatnonzero(long_enough & (spoken.max(axis=0) >= ONE_SIDED * total)).tolist():
            speaker = int(spoken[:, row].argmax())
            share = spoken[speaker, row] / total[row]
            self._report("one_sided", chunk, row, f"{_ORDINAL[speaker]} speaker says {share:.0%}: ", speaker)
        for row, conversation in enumerate(chunk.conversations):
            self._check_turns(chunk, row, conversation.turns)

    def _check_turns(self, chunk: Chunk, row: int, turns: tuple[str, ...]) -> None:
        if any(map(eq, turns, turns[1:])):
            again = next(n for n in range(1, len(turns)) if turns[n] == turns[n - 1])
            self._report("echo", chunk, row, f"turn {again + 1}: ", again)
        if len(turns) >= 2 * SAME - 1:
            for speaker in (0, 1):
                own = turns[speaker::2]
                if len(own) >= SAME and len(set(own)) == 1:
                    self._report("monotone", chunk, row, f"{_ORDINAL[speaker]} speaker, {len(own)} times: ", speaker)
        self._frequent.update([turn for turn in turns if len(turn) <= _MAX_CHARACTERS])
        if len(self._frequent) > _MAX_COUNTED:
            self._frequent = Counter(dict(self._frequent.most_common(_MAX_COUNTED // 4)))

    def _report(self, kind: str, chunk: Chunk, row: int, text: str, turn: int) -> None:
        shown = chunk.conversations[row].turns[turn]
        self._tally.add(kind, int(chunk.lines[row]), lambda: text + excerpt(shown))

    def frequent(self, limit: int) -> list[tuple[str, int]]:
        """Return the most frequent short turns and their counts.

        Both are approximate if there are very many different turns.
        """
        return [(text, count) for text, count in self._frequent.most_common(limit) if count > 1]


_ORDINAL = ("the first", "the second")

"""A chunk and its tokens in, one-sided conversations and who says how much out."""

from collections import Counter
from collections.abc import Iterable
from operator import eq

import numpy as np

from convmodel.reports.inspection.chunks import Chunk
from convmodel.reports.inspection.findings import Tally, excerpt

ONE_SIDED = 0.9
"""The share of a conversation's tokens from which one speaker says nearly all of it."""

LEAST_TURNS = 4
LEAST_TOKENS = 40
"""Shorter conversations are never called one-sided: a question and its answer may well differ in length."""

SAME = 3
"""So many turns of a speaker, all equal, are always the same."""

_COUNTED = 60  # characters: longer turns hardly repeat
_REMEMBERED = 200_000


class SpeakerTally:
    """Looks at who speaks.

    Args:
        tally: where the findings are counted.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.tokens = [0, 0]
        self._frequent: Counter[str] = Counter()

    def add(self, chunk: Chunk, tokens: np.ndarray) -> None:
        """Looks at a chunk whose segments have so many tokens."""
        rows = len(chunk.conversations)
        turns = chunk.turn_numbers >= 0
        said = np.zeros((2, rows), dtype=np.int64)
        for speaker in (0, 1):
            mine = turns & (chunk.turn_numbers % 2 == speaker)
            said[speaker] = np.bincount(chunk.owners[mine], weights=tokens[mine], minlength=rows)
            self.tokens[speaker] += int(said[speaker].sum())
        total = said.sum(axis=0)
        many = (np.diff(chunk.first) - chunk.personas >= LEAST_TURNS) & (total >= LEAST_TOKENS)
        for row in np.flatnonzero(many & (said.max(axis=0) >= ONE_SIDED * total)).tolist():
            speaker, share = int(said[:, row].argmax()), said[:, row].max() / total[row]
            self._tell("one_sided", chunk, row, f"{_ORDINAL[speaker]} speaker says {share:.0%}: ", speaker)
        for row, conversation in enumerate(chunk.conversations):
            self._look_at_turns(chunk, row, conversation.turns)

    def _look_at_turns(self, chunk: Chunk, row: int, turns: tuple[str, ...]) -> None:
        if any(map(eq, turns, turns[1:])):
            again = next(n for n in range(1, len(turns)) if turns[n] == turns[n - 1])
            self._tell("echo", chunk, row, f"turn {again + 1}: ", again)
        if len(turns) >= 2 * SAME - 1:
            for speaker in (0, 1):
                mine = turns[speaker::2]
                if len(mine) >= SAME and len(set(mine)) == 1:
                    self._tell("monotone", chunk, row, f"{_ORDINAL[speaker]} speaker, {len(mine)} times: ", speaker)
        self._count(turns)

    def _tell(self, kind: str, chunk: Chunk, row: int, text: str, turn: int) -> None:
        said = chunk.conversations[row].turns[turn]
        self._tally.add(kind, int(chunk.lines[row]), lambda: text + excerpt(said))

    def _count(self, turns: Iterable[str]) -> None:
        self._frequent.update([turn for turn in turns if len(turn) <= _COUNTED])
        if len(self._frequent) > _REMEMBERED:
            self._frequent = Counter(dict(self._frequent.most_common(_REMEMBERED // 4)))

    def frequent(self, number: int) -> list[tuple[str, int]]:
        """The most frequent short turns; in a file with very many different ones, about how often each came."""
        return [(text, count) for text, count in self._frequent.most_common(number) if count > 1]


_ORDINAL = ("the first", "the second")

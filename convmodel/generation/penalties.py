"""Penalties for repetition, which consider whole turns, including those outside the model's window."""

from collections import Counter
from collections.abc import Container, Iterable, Sequence

NO_REPEAT = "no_repeat_context_ngram_size"
"""Option: size of the n-grams of any turn, or of the reply so far, that are not generated again."""

SELF_REPETITION = "self_repetition_penalty"
"""Option: reduction of the logit of a token that would continue a run (a sequence of tokens copied from an earlier turn
of the same speaker), per token of the run."""

FREQUENCY = "frequency_penalty"
"""Option: reduction of a token's logit for each occurrence in the reply so far."""

PRESENCE = "presence_penalty"
"""Option: reduction of a token's logit if it occurs in the reply so far."""

OPTIONS = (NO_REPEAT, SELF_REPETITION, FREQUENCY, PRESENCE)

LONGEST_RUN = 8
"""Maximum length of a run, in tokens."""

START = -1
"""Virtual token before the first token of a turn, so that a run may begin at the start of a turn."""


class NGramBlocker:
    """Blocker of tokens that would complete an n-gram for the second time.

    Unlike transformers' `no_repeat_ngram_size`, n-grams never cross the end of a turn, and the end is never blocked.

    Args:
        size: n, at least 1.
        sequences: sequences of token ids with n-grams to block; the reply itself is added token by token.
        prefix_ids: token ids that the reply continues as one text, whose n-grams may extend into the reply.
    """

    def __init__(self, size: int, sequences: Iterable[Sequence[int]], prefix_ids: Sequence[int] = ()) -> None:
        self._size = size
        self._followers: dict[tuple[int, ...], set[int]] = {}
        self._reply: list[int] = []
        for ids in sequences:
            for stop in range(size, len(ids) + 1):
                self._add(ids[stop - size : stop])
        for token in prefix_ids:
            self.append(token)

    def _add(self, ngram: Sequence[int]) -> None:
        self._followers.setdefault(tuple(ngram[:-1]), set()).add(ngram[-1])

    def forbidden(self) -> set[int]:
        """Return the tokens that may not come next."""
        if len(self._reply) < self._size - 1:
            return set()
        return self._followers.get(tuple(self._reply[len(self._reply) - self._size + 1 :]), set())

    def append(self, token: int) -> None:
        """Append a token to the reply."""
        self._reply.append(token)
        if len(self._reply) >= self._size:
            self._add(self._reply[-self._size :])


class SelfRepetitionPenalty:
    """Computes, for each token, the length of the run from an earlier turn of the same speaker that it would continue.

    The run length of a token t is the largest m, up to `LONGEST_RUN`, such that the last m tokens of the reply, whose
    start counts as one token, occur before a t in one of the turns.
    """

    def __init__(self, turns: Iterable[Sequence[int]]) -> None:
        self._followers: dict[tuple[int, ...], set[int]] = {}
        self._reply = [START]
        for ids in turns:
            turn = [START, *ids]
            for position in range(1, len(turn)):
                for length in range(1, min(position, LONGEST_RUN) + 1):
                    self._followers.setdefault(tuple(turn[position - length : position]), set()).add(turn[position])

    def run_lengths(self) -> dict[int, int]:
        """Return the run length of each token that would continue a run."""
        lengths: dict[int, int] = {}
        for length in range(1, min(len(self._reply), LONGEST_RUN) + 1):
            followers = self._followers.get(tuple(self._reply[-length:]))
            if followers is None:
                break  # longer runs do not occur either
            lengths |= dict.fromkeys(followers, length)
        return lengths

    def append(self, token: int) -> None:
        """Append a token to the reply."""
        self._reply.append(token)


class FrequencyPenalty:
    """Penalty of each token of the reply so far, except `ends`: presence + frequency * count, as in OpenAI's API."""

    def __init__(self, frequency: float, presence: float, *, ends: Container[int]) -> None:
        self._frequency = frequency
        self._presence = presence
        self._ends = ends
        self._counts: Counter[int] = Counter()
        self.penalties: dict[int, float] = {}

    def append(self, token: int) -> None:
        """Append a token to the reply."""
        if token not in self._ends:
            self._counts[token] += 1
            self.penalties[token] = self._presence + self._frequency * self._counts[token]

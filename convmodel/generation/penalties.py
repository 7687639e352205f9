"""What was said before in, tokens that would say it again out: whole sequences are looked at, whatever the window."""

from collections import Counter
from collections.abc import Container, Iterable, Sequence

NO_REPEAT = "no_repeat_context_ngram_size"
"""An option of ours: runs of so many tokens that stand in any turn, or in the reply so far, are not written again."""

SAID_AGAIN = "self_repetition_penalty"
"""An option of ours: what a token's logit loses for each token of a run that it would continue as said before."""

FREQUENCY = "frequency_penalty"
"""An option of ours: what a token's logit loses for each time that it stands in the reply so far."""

PRESENCE = "presence_penalty"
"""An option of ours: what a token's logit loses once it stands in the reply so far."""

OPTIONS = (NO_REPEAT, SAID_AGAIN, FREQUENCY, PRESENCE)

LONGEST_RUN = 8
"""Runs are compared up to so many tokens."""

START = -1
"""Stands before the first token of a turn, so that beginnings are runs too."""


class NGramBlocker:
    """Forbids tokens that would complete an n-gram for the second time.

    Unlike transformers' `no_repeat_ngram_size` it never crosses the end of a turn, and never forbids to end one.

    Args:
        size: n, at least 1.
        sequences: of ids in which n-grams count; the reply itself is added token by token.
        begun: ids that the reply goes on as one text; n-grams count in it, and across.
    """

    def __init__(self, size: int, sequences: Iterable[Sequence[int]], begun: Sequence[int] = ()) -> None:
        self._size = size
        self._followers: dict[tuple[int, ...], set[int]] = {}
        self._reply: list[int] = []
        for ids in sequences:
            for stop in range(size, len(ids) + 1):
                self._add(ids[stop - size : stop])
        for token in begun:
            self.take(token)

    def _add(self, ngram: Sequence[int]) -> None:
        self._followers.setdefault(tuple(ngram[:-1]), set()).add(ngram[-1])

    def forbidden(self) -> set[int]:
        """The tokens that may not come next."""
        if len(self._reply) < self._size - 1:
            return set()
        return self._followers.get(tuple(self._reply[len(self._reply) - self._size + 1 :]), set())

    def take(self, token: int) -> None:
        """Adds a token to the reply."""
        self._reply.append(token)
        if len(self._reply) >= self._size:
            self._add(self._reply[-self._size :])


class SelfRepetitionPenalty:
    """Counts how long a run of something said before each token would continue.

    The run of a token t is the longest m, up to `LONGEST_RUN`, for which the last m tokens of the reply, its start
    counted as one, stand before a t in one of the sequences.

    Args:
        sequences: ids of what the speaker said before.
    """

    def __init__(self, sequences: Iterable[Sequence[int]]) -> None:
        self._followers: dict[tuple[int, ...], set[int]] = {}
        self._reply = [START]
        for ids in sequences:
            said = [START, *ids]
            for place in range(1, len(said)):
                for length in range(1, min(place, LONGEST_RUN) + 1):
                    self._followers.setdefault(tuple(said[place - length : place]), set()).add(said[place])

    def runs(self) -> dict[int, int]:
        """For each token that would continue a run, the run's length."""
        found: dict[int, int] = {}
        for length in range(1, min(len(self._reply), LONGEST_RUN) + 1):
            followers = self._followers.get(tuple(self._reply[-length:]))
            if followers is None:
                break  # no longer run stands there either
            found |= dict.fromkeys(followers, length)
        return found

    def take(self, token: int) -> None:
        """Adds a token to the reply."""
        self._reply.append(token)


class FrequencyPenalty:
    """Keeps what the logit of each token of the reply so far loses: presence + frequency * count, as OpenAI has it.

    Args:
        frequency, presence: below 0, what was written becomes likelier.
        ends: tokens that end the reply, which never lose anything.
    """

    def __init__(self, frequency: float, presence: float, *, ends: Container[int]) -> None:
        self._frequency, self._presence, self._ends = frequency, presence, ends
        self._counts: Counter[int] = Counter()
        self.losses: dict[int, float] = {}

    def take(self, token: int) -> None:
        """Adds a token to the reply."""
        if token not in self._ends:
            self._counts[token] += 1
            self.losses[token] = self._presence + self._frequency * self._counts[token]

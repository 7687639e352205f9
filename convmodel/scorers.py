"""A context and candidates in, one number for each out: which of several replies is kept."""

import math
from collections.abc import Sequence
from typing import Literal, Protocol


class Scorer(Protocol):
    """Anything that finds some replies better than others."""

    def score(self, context: Sequence[str], candidates: Sequence[str]) -> Sequence[float]:
        """C candidates in, C numbers out, higher is better."""


ScoredBy = Scorer | Literal["likelihood"]
"""A scorer, or the likelihood per token under the model that writes, which costs nothing more."""


class PerToken(Protocol):
    """Log-likelihoods for each token."""

    @property
    def per_token(self) -> list[float]:
        """(C,) in nats."""


class HasLikelihoods(Protocol):
    """A model that says how likely replies are, as ConversationModel does."""

    def score(self, context: Sequence[str], candidates: Sequence[str], *, cut: bool) -> PerToken:
        """C candidates in, their likelihoods out; of one that does not fit, that of its beginning."""


class MutualInformation:
    """Prefers replies that are likely after the context, and after which the context is likely: not the dull ones.

    For a context that ends with the turn S, and a candidate T:
    (1 - weight) log p(T | context) / |T|  +  weight log p(S | T) / |S|, tokens counted with their ends.
    Source: MMI-bidi of arXiv:1510.03055 and arXiv:1911.00536, both terms per token so that lengths do not decide.

    Args:
        forward: writes replies.
        backward: was trained on reversed conversations (`python -m convmodel convert --reverse`): it says what was
            said before.
        weight: of the backward term, from 0 to 1.
    """

    def __init__(self, forward: HasLikelihoods, backward: HasLikelihoods, *, weight: float = 0.5) -> None:
        if not 0 <= weight <= 1:
            raise ValueError(f"weight={weight}; allowed are 0.0 to 1.0")
        self._forward, self._backward, self._weight = forward, backward, weight

    def score(self, context: Sequence[str], candidates: Sequence[str]) -> list[float]:
        """C candidates in, C scores in nats per token out; one without text gets -inf."""
        said = [candidate for candidate in candidates if candidate.strip()]
        if not said:
            return [-math.inf] * len(candidates)
        after = dict(zip(said, self._forward.score(context, said, cut=True).per_token, strict=True))
        return [
            (1 - self._weight) * after[candidate]
            + self._weight * self._backward.score([candidate], [context[-1]], cut=True).per_token[0]
            if candidate in after
            else -math.inf
            for candidate in candidates
        ]


def checked(scores: Sequence[float], candidates: Sequence[str]) -> list[float]:
    """What a scorer said, as floats.

    Raises:
        ValueError: when there are not as many as candidates, or one is no number.
    """
    found = [float(score) for score in scores]
    if len(found) != len(candidates) or any(map(math.isnan, found)):
        raise ValueError(f"the scorer gave {found} for {len(candidates)} candidates; give one number for each")
    return found

"""A context and candidates in, one number for each out: which of several replies is kept."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol


class Scorer(Protocol):
    """Anything that finds some replies better than others.

    One that wants to know who replies has a further argument, `persona: Sequence[str] = ()`, and one that wants to be
    called something a `name`.
    """

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

    def score(
        self, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = (), cut: bool
    ) -> PerToken:
        """C candidates in, their likelihoods out; of one that does not fit, that of its beginning."""


class HasScores(Protocol):
    """A model that chooses among candidates, as every Selector does."""

    @property
    def kind(self) -> str:
        """What it is called."""

    def score(
        self, contexts: Sequence[Sequence[str]], candidates: Sequence[str], *, personas: Sequence[Sequence[str]]
    ) -> Sequence[Sequence[float]]:
        """B contexts and C candidates in, B x C scores out."""


class Likelihood:
    """Prefers replies that a model finds likely, whoever wrote them: log p(T | context) / |T|, in nats per token.

    Args:
        model: writes replies.
    """

    name = "likelihood"

    def __init__(self, model: HasLikelihoods) -> None:
        self._model = model

    def score(self, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = ()) -> list[float]:
        """C candidates in, C scores out; one without text gets -inf."""
        return _of_those_with_text(
            candidates, lambda said: self._model.score(context, said, persona=persona, cut=True).per_token
        )


class SelectorScorer:
    """Prefers replies that a selector would choose, whoever wrote them.

    Args:
        selector: of any kind.

    Example:
        >>> scorer = SelectorScorer(Selector.from_pretrained("selector"))
        >>> model.generate(["Do you have any pets?"], num_return_sequences=8, scorer=scorer).responses[0]
    """

    def __init__(self, selector: Any) -> None:
        self._selector: HasScores = selector
        self.name = self._selector.kind

    def score(self, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = ()) -> list[float]:
        """C candidates in, C scores out; one without text gets -inf."""
        return _of_those_with_text(
            candidates, lambda said: list(self._selector.score([context], said, personas=[persona])[0])
        )


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

    name = "mutual information"

    def __init__(self, forward: HasLikelihoods, backward: HasLikelihoods, *, weight: float = 0.5) -> None:
        if not 0 <= weight <= 1:
            raise ValueError(f"weight={weight}; allowed are 0.0 to 1.0")
        self._forward, self._backward, self._weight = Likelihood(forward), backward, weight

    def score(self, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = ()) -> list[float]:
        """C candidates in, C scores in nats per token out; one without text gets -inf."""
        after = self._forward.score(context, candidates, persona=persona)
        return [
            (1 - self._weight) * likely
            + self._weight * self._backward.score([candidate], [context[-1]], cut=True).per_token[0]
            if candidate.strip()
            else -math.inf
            for candidate, likely in zip(candidates, after, strict=True)
        ]


def scores_of(
    scorer: Scorer, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = ()
) -> list[float]:
    """What a scorer finds of candidates; it is told the persona where it wants to know it.

    Raises:
        ValueError: when it gives something else than a number for each.
    """
    more = {"persona": persona} if "persona" in inspect.signature(scorer.score).parameters else {}
    return checked(scorer.score(context, candidates, **more), candidates)


def name_of(scorer: ScoredBy) -> str:
    """What a scorer is called."""
    return scorer if isinstance(scorer, str) else str(getattr(scorer, "name", type(scorer).__name__))


def checked(scores: Sequence[float], candidates: Sequence[str]) -> list[float]:
    """What a scorer said, as floats.

    Raises:
        ValueError: when there are not as many as candidates, or one is no number.
    """
    found = [float(score) for score in scores]
    if len(found) != len(candidates) or any(map(math.isnan, found)):
        raise ValueError(f"the scorer gave {found} for {len(candidates)} candidates; give one number for each")
    return found


def _of_those_with_text(candidates: Sequence[str], score: Callable[[list[str]], Sequence[float]]) -> list[float]:
    """Scores each text once; there is nothing to ask a model of one that is empty."""
    said = list(dict.fromkeys(candidate for candidate in candidates if candidate.strip()))
    found = dict(zip(said, map(float, score(said)), strict=True)) if said else {}
    return [found.get(candidate, -math.inf) for candidate in candidates]

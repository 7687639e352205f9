"""Rerankers: scorers that choose among several replies to a context."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from convmodel.models.conversation_model import ConversationModel
    from convmodel.models.selection.selector import Selector


class Scorer(Protocol):
    """An object that scores replies.

    `score` may have another argument, `persona: Sequence[str] = ()`, for sentences about the speaker who replies. A
    scorer may have an attribute `name`, which is shown to users.
    """

    def score(self, context: Sequence[str], candidates: Sequence[str]) -> Sequence[float]:
        """Return the score of each of C candidates as the reply to a context; higher is better."""


ScoredBy = Scorer | Literal["likelihood"]
"""A scorer; or "likelihood", the likelihood per token under the generating model, which is known after generation."""


class Likelihood:
    """Scores a reply T by its likelihood under a model: log p(T | context) / |T|, in nats per token.

    Args:
        model: the model that computes likelihoods; another model may have generated the replies.
    """

    name = "likelihood"

    def __init__(self, model: "ConversationModel") -> None:
        self._model = model

    def score(
        self, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = (), **names: Any
    ) -> list[float]:
        """Return the score of each of C candidates; a blank candidate gets -inf.

        `names` are the arguments `speakers` and `speaker` of `ConversationModel.score`.
        """
        return _score_non_blank(
            candidates, lambda texts: self._model.score(context, texts, persona=persona, cut=True, **names).per_token
        )


class SelectorScorer:
    """Scores replies with a selector of any kind.

    Example:
        >>> scorer = SelectorScorer(Selector.from_pretrained("selector"))
        >>> model.generate(["Do you have any pets?"], num_return_sequences=8, scorer=scorer).responses[0]
    """

    def __init__(self, selector: "Selector") -> None:
        self._selector = selector
        self.name = selector.kind

    def score(self, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = ()) -> list[float]:
        """Return the score of each of C candidates; a blank candidate gets -inf."""
        return _score_non_blank(
            candidates, lambda texts: list(self._selector.score([context], texts, personas=[persona])[0])
        )


class MutualInformation:
    """Scores replies by mutual information, which prefers specific replies to generic ones.

    For a context that ends with the turn S, the score of a candidate T is
    (1 - weight) log p(T | context) / |T|  +  weight log p(S | T) / |S|,
    where |T| and |S| are numbers of tokens, each including the final separator.
    Source: MMI-bidi of arXiv:1510.03055 and arXiv:1911.00536. Here both terms are divided by the number of tokens, so
    that scores do not depend on lengths.

    Args:
        forward: a model that predicts replies.
        backward: a model trained on reversed conversations (`python -m convmodel convert --reverse`), which predicts
            the preceding turn.
        weight: weight of the backward term, from 0 to 1.
    """

    name = "mutual information"

    def __init__(self, forward: "ConversationModel", backward: "ConversationModel", *, weight: float = 0.5) -> None:
        if not 0 <= weight <= 1:
            raise ValueError(f"weight={weight}; allowed are 0.0 to 1.0")
        self._forward = Likelihood(forward)
        self._backward = backward
        self._weight = weight

    def score(self, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = ()) -> list[float]:
        """Return the score of each of C candidates, in nats per token; a blank candidate gets -inf."""
        forward_scores = self._forward.score(context, candidates, persona=persona)
        return [
            (1 - self._weight) * forward
            + self._weight * self._backward.score([candidate], [context[-1]], cut=True).per_token[0]
            if candidate.strip()
            else -math.inf
            for candidate, forward in zip(candidates, forward_scores, strict=True)
        ]


def score_candidates(
    scorer: Scorer, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = ()
) -> list[float]:
    """Return a scorer's scores of candidates, passing the persona if the scorer takes one.

    Raises:
        ValueError: when the scorer does not return one number for each candidate, or a number is NaN.
    """
    extra = {"persona": persona} if "persona" in inspect.signature(scorer.score).parameters else {}
    values = [float(score) for score in scorer.score(context, candidates, **extra)]
    if len(values) != len(candidates) or any(map(math.isnan, values)):
        raise ValueError(f"the scorer gave {values} for {len(candidates)} candidates; give one number for each")
    return values


def scorer_name(scorer: ScoredBy) -> str:
    """Return the name of a scorer: "likelihood", its `name`, or the name of its class."""
    return scorer if isinstance(scorer, str) else str(getattr(scorer, "name", type(scorer).__name__))


def _score_non_blank(candidates: Sequence[str], score: Callable[[list[str]], Sequence[float]]) -> list[float]:
    """Score each distinct candidate once; blank candidates, which models cannot score, get -inf."""
    texts = list(dict.fromkeys(candidate for candidate in candidates if candidate.strip()))
    scores = dict(zip(texts, map(float, score(texts)), strict=True)) if texts else {}
    return [scores.get(candidate, -math.inf) for candidate in candidates]

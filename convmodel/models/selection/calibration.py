"""Calibration of a selector: probabilities that its best candidate is correct, and a threshold for them."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

COMPETITORS = 100
"""Number of best candidates whose scores determine the probability of the first one."""

THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Thresholds of `Calibrated.table`."""

MIN_ANSWERED = 10
"""Smallest number of replies from which a precision is estimated."""

DECAY = 1e-3
"""Factor of the squared slope in the loss."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The probability that the best candidate is correct: sigmoid(bias + slope * lead).

    The lead is the logit of the best candidate's probability under a softmax over the best `COMPETITORS` candidates. It
    is used instead of the score because it takes the size of the pool into account: more competitors reduce it.

    Args:
        bias, slope: the parameters.
        threshold: proposed smallest probability of a reply.
        precision: share of correct replies among those with at least this probability, on the data of the calibration.
        coverage: share of the answerable questions that got a reply there.
    """

    bias: float
    slope: float
    threshold: float
    precision: float
    coverage: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in asdict(self).values()):
            raise ValueError(f"a number of the calibration is not finite: {asdict(self)}")

    def probability(self, scores: Sequence[float]) -> float:
        """Return the probability that the first candidate is correct.

        Args:
            scores: scores of the best candidates, best first, at least one.
        """
        return _sigmoid(self.bias + self.slope * lead(scores))


@dataclass(frozen=True, slots=True)
class Precision:
    """Precision of the replies whose probability is at least a threshold.

    Args:
        threshold: the smallest probability.
        precision: share of correct replies among those given; None if there are none.
        coverage: share of answerable questions that get a reply.
        unanswerable: share of questions without an answer that get a reply.
    """

    threshold: float
    precision: float | None
    coverage: float
    unanswerable: float


@dataclass(frozen=True, slots=True)
class Answers:
    """Leads of the best candidates for N questions.

    Args:
        leads: (N,) leads; see `lead`.
        right: (N,) whether the best candidate is the gold response.
        answerable: (N,) whether the gold response is among the candidates.
    """

    leads: np.ndarray
    right: np.ndarray
    answerable: np.ndarray

    @classmethod
    def of(cls, scores: Sequence[np.ndarray], gold: Sequence[int]) -> "Answers":
        """Return the answers of pools of at least two candidates, each of them with and without its gold response.

        A pool without its gold response represents a question that has no answer. If the gold response and another
        candidate have equal scores, the gold response does not count as the best.
        """
        rows = []
        for values, index in zip(scores, gold, strict=True):
            others = np.delete(values, index)
            rows.append((_lead_of(values), values[index] > others.max(), True))
            rows.append((_lead_of(others), False, False))
        leads, right, answerable = (np.array(column) for column in zip(*rows, strict=True))
        return cls(leads, right, answerable)

    def measure(self, probabilities: np.ndarray, threshold: float) -> Precision:
        """Return precision and coverage of the replies whose probability is at least a threshold."""
        given = probabilities >= threshold
        precision = float(self.right[given].mean()) if given.any() else None
        shares = [float(given[kind].mean()) if kind.any() else 0.0 for kind in (self.answerable, ~self.answerable)]
        return Precision(threshold, precision, *shares)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibration, and precision and coverage at `THRESHOLDS` and at its threshold, in ascending order."""

    calibration: Calibration
    table: Sequence[Precision]


def calibrate(answers: Answers, *, precision: float) -> Calibrated:
    """Fit the probabilities of answers, and propose the lowest threshold that reaches a precision.

    If none reaches it, the threshold with the highest precision is proposed. A threshold with fewer than
    `MIN_ANSWERED` replies is not proposed.

    Args:
        answers: answers to questions that the selector was not trained on.
        precision: wanted share of correct replies, above 0 and at most 1.
    """
    if not 0 < precision <= 1:
        raise ValueError(f"precision={precision}; allowed are numbers above 0 and at most 1")
    bias, slope = _fit(answers)
    probabilities = np.array([_sigmoid(bias + slope * each) for each in answers.leads.tolist()])
    rising = np.sort(probabilities)[: len(probabilities) - min(MIN_ANSWERED, len(probabilities)) + 1]
    rows = [answers.measure(probabilities, threshold) for threshold in np.unique(rising).tolist()]
    reached = [row for row in rows if (row.precision or 0.0) >= precision]
    chosen = reached[0] if reached else max(rows, key=lambda row: row.precision or 0.0)
    calibration = Calibration(bias, slope, chosen.threshold, chosen.precision or 0.0, chosen.coverage)
    thresholds = sorted({*THRESHOLDS, calibration.threshold})
    return Calibrated(calibration, [answers.measure(probabilities, each) for each in thresholds])


def lead(scores: Sequence[float]) -> float:
    """Return the logit of the first score's probability under a softmax over the first `COMPETITORS` scores.

    The lead is 0 if there is a single score, which says nothing without competitors.

    Args:
        scores: scores of the best candidates, best first, at least one.
    """
    best, *others = scores[:COMPETITORS]
    if not others:
        return 0.0
    return best - others[0] - math.log(math.fsum(math.exp(score - others[0]) for score in others))


def _lead_of(scores: np.ndarray) -> float:
    return lead(np.sort(scores)[::-1][:COMPETITORS].tolist())


def _fit(answers: Answers) -> tuple[float, float]:
    """Return bias and slope of a logistic regression of `right` on the leads; the slope is at least 0."""
    mean = answers.leads.mean()
    scale = max(float(answers.leads.std()), 1e-9)
    values = torch.from_numpy((answers.leads - mean) / scale)
    right = torch.from_numpy(answers.right.astype(np.float64))
    weights = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = weights[0] + weights[1] * values
        total = torch.nn.functional.binary_cross_entropy_with_logits(logits, right) + DECAY * weights[1].square()
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(loss)
    bias, weight = weights.tolist()
    slope = max(weight, 0.0) / scale
    return bias - slope * float(mean), slope


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))

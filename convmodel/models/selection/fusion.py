"""Linear fusion of named features of a context and a candidate, and the file of its weights."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from convmodel.data.atomic import atomic_file
from convmodel.data.json_file import read_json_object
from convmodel.models.selection.calibration import Calibration
from convmodel.models.selection.lexical import WordStatistics
from convmodel.models.selection.selector_files import FUSION

VERSION = 1

WORD_FEATURES = ("bm25_context", "bm25_last_turn", "bm25_persona", "log_length", "said_already")
"""Features that need no model. The first three are BM25 scores of a candidate for persona and context together, for the
last turn, and for the best persona sentence. `log_length` is the logarithm of 1 + the candidate's number of words.
`said_already` is 1 for a candidate with the same words as a turn of the context, and 0 for others."""

ENCODER_FEATURES = ("encoder_context",)
"""Feature that every encoder has: its score for context and candidate."""

VECTOR_FEATURES = ("encoder_last_turn", "encoder_persona")
"""Products of a candidate's vector with the vectors of the last turn, and of the best persona sentence, both
encoded as candidates."""

QUESTION_FEATURES = ("encoder_question", "bm25_question")
"""Features that compare the last turn with the questions that a candidate answers; 0 for candidates without questions.
They are the largest product of the vectors of the last turn and of a question, both encoded as candidates, and the
largest BM25 score of a question for the last turn."""

DEFAULT_WEIGHTS = {"bm25_context": 1.0, "bm25_last_turn": 0.7, "bm25_persona": 1.0}
"""Weights of a lexical selector without learned weights."""

DECAY = 1e-3
"""Factor of the sum of squared weights in the loss."""

LEARN_AGAIN = "learn it again (python -m convmodel fuse), or load the selector without it (fusion=False, --no-fusion)"


@dataclass(frozen=True, slots=True)
class Feature:
    """The weight of a feature, which is multiplied by the standardized value (value - mean) / scale."""

    weight: float
    mean: float = 0.0
    scale: float = 1.0

    @property
    def factor(self) -> float:
        """The factor of the value itself, without standardization."""
        return self.weight / self.scale


@dataclass(frozen=True)
class Fusion:
    """A linear score: the sum of weighted, standardized features.

    Args:
        features: weights by name.
        statistics: statistics of the words in candidates, for BM25.
        encoder: fingerprint of the selector whose scores are features; None without such a selector.
        learned_on: description of the training data; empty for default weights.
        calibration: probability that the best candidate is correct; None for default weights.
        last_turn_only: whether only the last turn of a context is used, because all examples of the training data had
            a single turn.
    """

    features: Mapping[str, Feature]
    statistics: WordStatistics
    encoder: str | None = None
    learned_on: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    last_turn_only: bool = False

    @classmethod
    def lexical(cls, statistics: WordStatistics) -> Self:
        """Return the fusion of a lexical selector with default weights."""
        return cls({name: Feature(weight) for name, weight in DEFAULT_WEIGHTS.items()}, statistics)

    @property
    def offset(self) -> float:
        """The part of the score that is equal for all candidates."""
        return -sum(feature.factor * feature.mean for feature in self.features.values())

    def factor(self, name: str) -> float:
        """Return the factor of a feature's value; 0 for a feature without a weight."""
        return self.features[name].factor if name in self.features else 0.0

    def parts(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return each feature's contribution to the scores, from (N,) values of the features with nonzero weights."""
        return {
            name: (values[name] - feature.mean) * feature.factor
            for name, feature in self.features.items()
            if feature.weight
        }

    def with_statistics(self, statistics: WordStatistics) -> Self:
        """Return a copy of the fusion with other statistics of words."""
        return replace(self, statistics=statistics)

    # File

    def write(self, folder: Path) -> None:
        """Write the fusion's file to a folder, atomically."""
        values = {
            "version": VERSION,
            "encoder": self.encoder,
            "features": {name: asdict(feature) for name, feature in self.features.items()},
            "learned_on": dict(self.learned_on),
            "last_turn_only": self.last_turn_only,
            "calibration": None if self.calibration is None else asdict(self.calibration),
        }
        text = json.dumps(values, indent=2, ensure_ascii=False)
        words = json.dumps(self.statistics.to_json(), ensure_ascii=False)
        with atomic_file(folder / FUSION) as fresh:
            fresh.write_text(f'{text[:-2]},\n  "words": {words}\n}}\n', encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the fusion's file from a folder.

        Raises:
            FileNotFoundError, ValueError: when the file is missing, or was not written by `write`.
        """
        file = folder / FUSION
        values = read_json_object(file, remedy=LEARN_AGAIN)
        if values.get("version") != VERSION:
            raise ValueError(f"{file}: is of version {values.get('version')!r}, not {VERSION}; {LEARN_AGAIN}")
        try:
            features = {name: Feature(**of_feature) for name, of_feature in values["features"].items()}
            statistics = WordStatistics(**values["words"])
            _check(features, statistics)
            calibration = Calibration(**values["calibration"]) if values.get("calibration") else None
            last_turn_only = bool(values.get("last_turn_only", False))
            return cls(features, statistics, values["encoder"], values["learned_on"], calibration, last_turn_only)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{file}: is damaged ({error}); {LEARN_AGAIN}") from None


def _check(features: Mapping[str, Feature], statistics: WordStatistics) -> None:
    """Raise a ValueError or TypeError for an unknown feature or an invalid number."""
    known = (*ENCODER_FEATURES, *VECTOR_FEATURES, *QUESTION_FEATURES, *WORD_FEATURES)
    for name, feature in features.items():
        if name not in known:
            raise ValueError(f"there is no feature {name!r}; known are {', '.join(known)}")
        if not all(math.isfinite(value) for value in asdict(feature).values()) or feature.scale <= 0:
            raise ValueError(f"{name} is {feature}")
    numbers = statistics.frequencies.values()
    if statistics.texts < 1 or not 0 < statistics.mean_length < math.inf:
        raise ValueError(f"words of {statistics.texts} texts with a mean length of {statistics.mean_length}")
    if not all(type(number) is int and 1 < number <= statistics.texts for number in numbers):
        raise ValueError("a word is in fewer than two texts, or in more than there are")


# Learning


def learn_features(names: Sequence[str], pools: Sequence[np.ndarray], gold: Sequence[int]) -> dict[str, Feature]:
    """Learn weights that minimize the cross-entropy of the gold responses, with a softmax over the candidates.

    A feature that never differs between the candidates of a pool gets the weight 0.

    Args:
        names: the names of F features.
        pools: for each example, the (C, F) values of its C candidates; C may differ between examples.
        gold: for each example, the index of the gold response among the candidates.
    """
    stacked = np.concatenate(pools)
    means = stacked.mean(0)
    scales = stacked.std(0)
    varies = np.max([np.ptp(values, axis=0) for values in pools], axis=0) > 1e-9
    scales[~varies | (scales < 1e-9)] = 1.0
    size = max(map(len, pools))
    values = torch.zeros(len(pools), size, len(names), dtype=torch.float64)
    mask = torch.zeros(len(pools), size, dtype=torch.bool)
    for index, pool in enumerate(pools):
        values[index, : len(pool)] = torch.from_numpy((pool - means) / scales * varies)
        mask[index, : len(pool)] = True
    weights = _minimize(values, mask, torch.tensor(gold)).tolist()
    columns = zip(names, weights, means.tolist(), scales.tolist(), varies.tolist(), strict=True)
    return {
        name: Feature(weight, mean, scale) if differs else Feature(0.0)
        for name, weight, mean, scale, differs in columns
    }


def _minimize(values: Tensor, mask: Tensor, gold: Tensor) -> Tensor:
    """Return the (F,) weights that minimize the loss, which is convex.

    Args:
        values: (E, C, F) standardized values of E examples.
        mask: (E, C), false for padding.
        gold: (E,) indices of the gold responses.
    """
    weights = torch.zeros(values.shape[2], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        scores = (values @ weights).masked_fill(~mask, -torch.inf)
        total = torch.nn.functional.cross_entropy(scores, gold) + DECAY * weights.square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(loss)
    return weights.detach()

"""Learning the weights of a fused selector from examples that its encoder was not trained on."""

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convmodel.data.candidates import CandidateText, questions_of
from convmodel.data.options import ReadOptions
from convmodel.data.reader import Source, source_name
from convmodel.data.selection_example import SelectionExample, iter_examples
from convmodel.models.selection.calibration import Answers, Precision, calibrate
from convmodel.models.selection.fused_selector import FusedSelector, candidate_table, feature_names, fused_contexts
from convmodel.models.selection.fusion import Fusion, learn_features
from convmodel.models.selection.lexical import WordStatistics
from convmodel.models.selection.selector import Selector
from convmodel.tokens.store import iter_chunks

BLOCK = 64
"""Number of contexts encoded at once."""

DEFAULT_POOL = 20
"""Default number of candidates of a response."""

FOLDS = 5
"""Number of parts of the examples; the scores of each part have weights that were learned on the others."""

DEFAULT_EXAMPLES = 5_000
"""Default number of examples to learn from; more examples change the weights little."""


@dataclass(frozen=True, slots=True)
class LearnedFusion:
    """A fusion, and measurements on its examples.

    Args:
        recall: share of examples whose gold response ranks first by each feature alone.
        fused_recall: share of examples whose gold response ranks first by the weighted sum of the features.
        table: precision at thresholds, measured with weights that were learned on other examples.
    """

    fusion: Fusion
    recall: dict[str, float]
    fused_recall: float
    table: Sequence[Precision]


def learn_fusion(
    selector: Selector,
    source: Source,
    *,
    candidates: Sequence[CandidateText] = (),
    pool: int | None = None,
    precision: float = 0.8,
    limit: int = DEFAULT_EXAMPLES,
    seed: int = 0,
    read_options: ReadOptions | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> LearnedFusion:
    """Learn the weights of all features that a selector supports.

    Do not evaluate the selector on the same file later.

    Args:
        selector: any selector. A fused selector keeps its encoder, a lexical selector its statistics of words.
        source: examples with candidates, or conversations. Each turn of a conversation becomes a response among `pool`
            candidates, and the other candidates are drawn from all responses, or from `candidates`.
        candidates: the candidates that the selector will choose from. Questions in their metadata become features.
        pool: number of candidates of a response; by default all `candidates`, or 20 without them.
        precision: wanted share of correct replies above the proposed threshold; see `calibrate`.
        limit: the largest number of examples, which are chosen at even intervals; 0 for all.
        progress: called with the number of examples after each block.

    Raises:
        ValueError: for a `pool` of fewer than two, or a file without two different responses.
    """
    if (pool is not None and pool < 2) or limit < 0:
        raise ValueError(f"pool={pool}, limit={limit}; allowed are at least 2, and at least 0")
    size = pool or len(candidates) or DEFAULT_POOL
    examples = list(iter_examples(source, read_options))
    chosen = examples[:: -(-len(examples) // limit)] if limit and examples else examples
    given = [candidate.text for candidate in candidates]
    responses = given or list(dict.fromkeys(example.response for example in examples))
    completed = [
        _with_candidates(example, responses, size, random.Random(f"{seed} {n}")) for n, example in enumerate(chosen)
    ]
    kept = [example for example in completed if len(example.candidates) > 1]
    if not kept:
        raise ValueError(
            f"{source_name(source)}: no response has another candidate beside it; there is nothing to learn"
        )
    encoder = None if isinstance(selector, FusedSelector) and selector.encoder is None else selector.indexer
    asked = {candidate.text.strip(): questions_of(candidate.metadata) for candidate in candidates}
    questions = {text: of_text for text, of_text in asked.items() if of_text}
    statistics = _statistics(selector, kept, [text for of_text in questions.values() for text in of_text])
    names = feature_names(encoder, questions=bool(questions))
    pools = list(_pools(encoder, Fusion({}, statistics), kept, names, questions, progress))
    gold = [example.gold for example in kept]
    facts: dict[str, Any] = {"data": source_name(source), "examples": len(kept), "files": file_digests(source)}
    fingerprint = None if encoder is None else encoder.fingerprint()
    calibrated = calibrate(_held_out_answers(names, pools, gold), precision=precision)
    features = learn_features(names, pools, gold)
    last_turn_only = all(len(example.context) == 1 for example in kept)
    fusion = Fusion(features, statistics, fingerprint, facts, calibrated.calibration, last_turn_only)
    recall = {name: _recall([values[:, column] for values in pools], gold) for column, name in enumerate(names)}
    factors = np.array([fusion.factor(name) for name in names])
    return LearnedFusion(fusion, recall, _recall([values @ factors for values in pools], gold), calibrated.table)


def _held_out_answers(names: Sequence[str], pools: Sequence[np.ndarray], gold: Sequence[int]) -> Answers:
    """Return the answers of all pools, each scored with weights that were learned on the other folds."""
    folds = min(FOLDS, len(pools))
    scores: dict[int, np.ndarray] = {}
    for fold in range(folds):
        kept = [index for index in range(len(pools)) if folds == 1 or index % folds != fold]
        learned = learn_features(names, [pools[index] for index in kept], [gold[index] for index in kept])
        factors = np.array([learned[name].factor for name in names])
        scores |= {index: pools[index] @ factors for index in range(fold, len(pools), folds)}
    return Answers.of([scores[index] for index in range(len(pools))], gold)


def _with_candidates(
    example: SelectionExample, responses: Sequence[str], pool: int, source: random.Random
) -> SelectionExample:
    """Return an example with at least two candidates as it is; otherwise add drawn responses to its own response.

    The example then has at most `pool` candidates.
    """
    if len(example.candidates) > 1:
        return example
    drawn = source.sample(responses, min(pool, len(responses)))
    others = [text for text in drawn if text.strip() != example.response.strip()][: pool - 1]
    distinct = list({text.strip(): text for text in others}.values())
    return SelectionExample(example.context, (example.response, *distinct), 0, example.persona)


def _statistics(selector: Selector, examples: Sequence[SelectionExample], questions: Sequence[str]) -> WordStatistics:
    """Return the word statistics of candidates and questions; a lexical selector keeps the statistics that it has."""
    if isinstance(selector, FusedSelector) and selector.encoder is None:
        return selector.fusion.statistics
    texts = dict.fromkeys(text for example in examples for text in example.candidates)
    return WordStatistics.of([*texts, *questions])


@torch.inference_mode()
def _pools(
    encoder: Selector | None,
    fusion: Fusion,
    examples: Sequence[SelectionExample],
    names: Sequence[str],
    questions: Mapping[str, Sequence[str]],
    progress: Callable[[int], object],
) -> Iterator[np.ndarray]:
    """Yield the (C, F) feature values of each example."""
    searching = FusedSelector(None, fusion) if encoder is None else encoder
    size = BLOCK if searching.searches else 1  # a selector that scores pairs needs pools of equal size
    for block in iter_chunks(iter(examples), size):
        contexts = [example.context for example in block]
        personas = [example.persona for example in block]
        candidates = None if searching.searches else block[0].candidates
        encoded = fused_contexts(encoder, fusion, contexts, personas, candidates=candidates, names=names)
        texts = list(dict.fromkeys(text for example in block for text in example.candidates))
        asked = [questions.get(text.strip(), ()) for text in texts] if questions else ()
        table = candidate_table(searching, texts, asked)
        rows = {text: row for row, text in enumerate(texts)}
        for row, example in enumerate(block):
            values = encoded.values(row, table.take([rows[text] for text in example.candidates]), names)
            yield np.stack([values[name] for name in names], 1)
        progress(len(block))


def _recall(scores: Sequence[np.ndarray], gold: Sequence[int]) -> float:
    """Return the share of pools whose gold response has a higher score than all others."""
    hits = [values[best] > np.delete(values, best).max() for values, best in zip(scores, gold, strict=True)]
    return float(np.mean(hits))


def file_digests(source: Source) -> dict[str, str]:
    """Return the digests of a source's files by file name; names of data on the Hub are left out."""
    names = [source] if isinstance(source, str | os.PathLike) else list(source)
    paths = [Path(name) for name in names if Path(name).is_file()]
    return {path.name: hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() for path in paths}

"""Learning the weights of a fused selector from examples that its encoder was not trained on."""

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convmodel.data.options import ReadOptions
from convmodel.data.reader import Source, source_name
from convmodel.data.selection_example import SelectionExample, iter_examples
from convmodel.models.selection.fused_selector import FusedSelector, candidate_table, feature_names, fused_contexts
from convmodel.models.selection.fusion import Fusion, learn_features
from convmodel.models.selection.lexical import WordStatistics
from convmodel.models.selection.selector import Selector
from convmodel.tokens.store import iter_chunks

BLOCK = 64
"""Number of contexts encoded at once."""

DEFAULT_EXAMPLES = 5_000
"""Default number of examples to learn from; more examples change the weights little."""


@dataclass(frozen=True, slots=True)
class LearnedFusion:
    """A fusion, and the shares of examples whose gold response ranks first, by each feature alone and by the sum."""

    fusion: Fusion
    recall: dict[str, float]
    fused_recall: float


def learn_fusion(
    selector: Selector,
    source: Source,
    *,
    pool: int = 20,
    limit: int = DEFAULT_EXAMPLES,
    seed: int = 0,
    read_options: ReadOptions | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> LearnedFusion:
    """Learn the weights of all features that a selector supports.

    Do not evaluate the selector on the same file later.

    Args:
        selector: any selector. Of a fused selector the encoder is kept; of a lexical one, the statistics of words.
        source: examples with candidates, or conversations. Each turn of a conversation becomes a response among `pool`
            candidates, and the other candidates are drawn from all responses.
        limit: the largest number of examples, which are chosen at even intervals; 0 for all.
        progress: called with the number of examples after each block.

    Raises:
        ValueError: for a `pool` of fewer than two, or a file without two different responses.
    """
    if pool < 2 or limit < 0:
        raise ValueError(f"pool={pool}, limit={limit}; allowed are at least 2, and at least 0")
    examples = list(iter_examples(source, read_options))
    chosen = examples[:: -(-len(examples) // limit)] if limit and examples else examples
    responses = list(dict.fromkeys(example.response for example in examples))
    completed = [
        _with_candidates(example, responses, pool, random.Random(f"{seed} {n}")) for n, example in enumerate(chosen)
    ]
    kept = [example for example in completed if len(example.candidates) > 1]
    if not kept:
        raise ValueError(
            f"{source_name(source)}: no response has another candidate beside it; there is nothing to learn"
        )
    encoder = None if isinstance(selector, FusedSelector) and selector.encoder is None else selector.indexer
    statistics = _statistics(selector, kept)
    names = feature_names(encoder)
    pools = list(_pools(encoder, Fusion({}, statistics), kept, names, progress))
    gold = [example.gold for example in kept]
    facts: dict[str, Any] = {"data": source_name(source), "examples": len(kept), "files": file_digests(source)}
    fingerprint = None if encoder is None else encoder.fingerprint()
    fusion = Fusion(learn_features(names, pools, gold), statistics, fingerprint, facts)
    recall = {name: _recall([values[:, column] for values in pools], gold) for column, name in enumerate(names)}
    factors = np.array([fusion.factor(name) for name in names])
    return LearnedFusion(fusion, recall, _recall([values @ factors for values in pools], gold))


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


def _statistics(selector: Selector, examples: Sequence[SelectionExample]) -> WordStatistics:
    """Return the word statistics of all candidates; a lexical selector keeps the statistics that it has."""
    if isinstance(selector, FusedSelector) and selector.encoder is None:
        return selector.fusion.statistics
    return WordStatistics.of(dict.fromkeys(text for example in examples for text in example.candidates))


@torch.inference_mode()
def _pools(
    encoder: Selector | None,
    fusion: Fusion,
    examples: Sequence[SelectionExample],
    names: Sequence[str],
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
        table = candidate_table(searching, texts)
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

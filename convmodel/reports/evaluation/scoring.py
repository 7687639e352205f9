"""Scoring of candidate pools with a selector, each text encoded once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from convmodel.models.selection.dual_encoder import DualEncoderSelector, EncodedContexts
from convmodel.models.selection.selector import Selector
from convmodel.reports.evaluation.candidate_pools import CandidatePool, Pools

TEXTS = 2_048
CONTEXTS = 128
"""Candidates and contexts tokenized at once; the encoder batches those of similar length."""

ROUNDING = 1e-6
"""Relative rounding error of a score: float32 has seven digits, and sums lose one of them."""


@dataclass(frozen=True)
class Scores:
    """The scores of one candidate pool.

    Args:
        values: (C,) float32, in the order of the candidates.
        rounding: absolute rounding error; smaller differences are ties.
    """

    values: np.ndarray
    rounding: float


def score_pools(selector: Selector, pools: Pools) -> Iterator[Scores]:
    """Yield the scores of each example, in order.

    Raises:
        ValueError: for a context that the model cannot read, with its line.
    """
    score = _score_encoded if isinstance(selector, DualEncoderSelector) else _score_jointly
    with tqdm(total=len(pools.examples), desc="Contexts", unit="", disable=None, leave=False) as progress:
        for scores in score(selector, pools):  # type: ignore[arg-type]
            yield scores
            progress.update()


def _score_jointly(selector: Selector, pools: Pools) -> Iterator[Scores]:
    """Score one context after the other with a model that reads context and candidate together."""
    for pool in pools.examples:
        example = pool.example
        try:
            scores = selector.score([example.context], [example.candidates], personas=[example.persona])
        except ValueError as error:
            raise _unreadable(pools, pool, error) from error
        values = scores[0].float().cpu().numpy()
        yield Scores(values, _rounding_error(float(np.abs(values).max())))


def _score_encoded(selector: DualEncoderSelector[Any, Any], pools: Pools) -> Iterator[Scores]:
    """Score with a model that encodes candidates apart from contexts: each distinct candidate is encoded once."""
    texts = dict.fromkeys(text for pool in pools.examples for text in pool.example.candidates)
    ordered = sorted(texts, key=len)  # blocks of texts of similar length need little padding
    indices = {text: index for index, text in enumerate(ordered)}
    vectors = _encode_candidates(selector, ordered)
    norms = vectors.float().norm(dim=-1)
    for start in range(0, len(pools.examples), CONTEXTS):
        block = pools.examples[start : start + CONTEXTS]
        contexts = _encode_contexts(selector, pools, block)
        for row, pool in enumerate(block):
            rows = torch.tensor([indices[text] for text in pool.example.candidates], device=vectors.device)
            context = EncodedContexts(contexts.vectors[row : row + 1], contexts.mask[row : row + 1])
            values = selector.score_encoded(context, vectors[rows])[0].float().cpu().numpy()
            size = float(context.vectors[context.mask].float().norm(dim=-1).max() * norms[rows].max())
            yield Scores(values, _rounding_error(size))


def _encode_candidates(selector: DualEncoderSelector[Any, Any], texts: Sequence[str]) -> Tensor:
    with tqdm(total=len(texts), desc="Candidates", unit="", disable=None, leave=False) as progress:
        blocks = []
        for start in range(0, len(texts), TEXTS):
            blocks.append(selector.encode_candidates(texts[start : start + TEXTS]))
            progress.update(len(blocks[-1]))
    return torch.cat(blocks)


def _encode_contexts(
    selector: DualEncoderSelector[Any, Any], pools: Pools, block: Sequence[CandidatePool]
) -> EncodedContexts:
    contexts = [pool.example.context for pool in block]
    personas = [pool.example.persona for pool in block]
    try:
        return selector.encode_contexts(contexts, personas=personas)
    except ValueError as error:
        if len(block) == 1:
            raise _unreadable(pools, block[0], error) from error
        for pool in block:  # find the example at fault
            _encode_contexts(selector, pools, [pool])
        raise


def _unreadable(pools: Pools, pool: CandidatePool, error: ValueError) -> ValueError:
    return ValueError(f"{pools.place.format(line=pool.line)}: the model cannot read this example: {error}")


def _rounding_error(size: float) -> float:
    return ROUNDING * size if np.isfinite(size) else 0.0

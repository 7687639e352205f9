"""A selector and replies among candidates in, the scores of all candidates out, every text encoded once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from convmodel.models.selection.selector import DualEncoderSelector, EncodedContexts, Selector
from convmodel.reports.evaluation.candidate_pools import CandidatePool, Pools

TEXTS, CONTEXTS = 2_048, 128
"""Texts and contexts that are tokenized at once; the encoder reads those of like length together."""

ROUNDING = 1e-6
"""Of the size of what is multiplied: float32 holds seven digits, and sums lose one of them."""


@dataclass(frozen=True)
class Scores:
    """What a selector finds of one pool.

    Args:
        values: (C,) float32, in the order of the candidates.
        rounding: differences that are no larger say nothing.
    """

    values: np.ndarray
    rounding: float


def scores_of(selector: Selector, pools: Pools) -> Iterator[Scores]:
    """The scores of each example, in order.

    Raises:
        ValueError: for a context that the model cannot read, with its line.
    """
    with tqdm(total=len(pools.examples), desc="Contexts", unit="", disable=None, leave=False) as progress:
        found = _encoded(selector, pools) if isinstance(selector, DualEncoderSelector) else _together(selector, pools)
        for scores in found:
            yield scores
            progress.update()


def _together(selector: Selector, pools: Pools) -> Iterator[Scores]:
    """For models that read context and candidate together: one context after the other."""
    for one in pools.examples:
        example = one.example
        try:
            found = selector.score([example.context], [example.candidates], personas=[example.persona])
        except ValueError as error:
            raise _unread(pools, one, error) from error
        values = found[0].float().cpu().numpy()
        yield Scores(values, _rounding(float(np.abs(values).max())))


def _encoded(selector: DualEncoderSelector, pools: Pools) -> Iterator[Scores]:
    """For models whose candidates can be kept."""
    texts = dict.fromkeys(text for one in pools.examples for text in one.example.candidates)
    # Blocks of texts of like length leave the encoder little to pad.
    ordered = sorted(texts, key=len)
    numbers = {text: number for number, text in enumerate(ordered)}
    vectors = _encoded_candidates(selector, ordered)
    sizes = vectors.float().norm(dim=-1)
    for start in range(0, len(pools.examples), CONTEXTS):
        block = pools.examples[start : start + CONTEXTS]
        contexts = _encoded_contexts(selector, pools, block)
        for row, one in enumerate(block):
            places = torch.tensor([numbers[text] for text in one.example.candidates], device=vectors.device)
            context = EncodedContexts(contexts.vectors[row : row + 1], contexts.mask[row : row + 1])
            found = selector.score_encoded(context, vectors[places])[0].float().cpu().numpy()
            size = float(context.vectors[context.mask].float().norm(dim=-1).max() * sizes[places].max())
            yield Scores(found, _rounding(size))


def _encoded_candidates(selector: DualEncoderSelector, texts: Sequence[str]) -> Tensor:
    with tqdm(total=len(texts), desc="Candidates", unit="", disable=None, leave=False) as progress:
        found = []
        for start in range(0, len(texts), TEXTS):
            found.append(selector.encode_candidates(texts[start : start + TEXTS]))
            progress.update(len(found[-1]))
    return torch.cat(found)


def _encoded_contexts(
    selector: DualEncoderSelector,
    pools: Pools,
    block: Sequence[CandidatePool],
) -> EncodedContexts:
    contexts, personas = [one.example.context for one in block], [one.example.persona for one in block]
    try:
        return selector.encode_contexts(contexts, personas=personas)
    except ValueError as error:
        if len(block) == 1:
            raise _unread(pools, block[0], error) from error
        for one in block:  # which one it is
            _encoded_contexts(selector, pools, [one])
        raise


def _unread(pools: Pools, one: CandidatePool, error: ValueError) -> ValueError:
    return ValueError(f"{pools.place.format(line=one.line)}: the model cannot read this example: {error}")


def _rounding(size: float) -> float:
    return ROUNDING * size if np.isfinite(size) else 0.0

"""Training losses of selectors: with in-batch negatives, with sampled negatives, and the loss of ConveRT."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from convmodel.models.selection.convert.model import Convert
from convmodel.models.selection.convert.network import SCALE_BATCHES
from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.dual_encoder import DualEncoderSelector
from convmodel.models.selection.losses import in_batch_loss, pool_losses
from convmodel.models.selection.selector import Selector
from convmodel.tokens.selection_dataset import Ids, TokenisedChoice

DualEncoder = DualEncoderSelector[Any, Any]
Examples = Sequence[TokenisedChoice]
Pools = Sequence[Sequence[Ids]]


@dataclass(frozen=True)
class LossOptions:
    """Options common to all losses; see `SelectorModule`."""

    cached_gradients: bool = False
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class SelectionObjective(ABC):
    """Training loss of a selector, and its scores of candidates in validation."""

    options: LossOptions

    @abstractmethod
    def batch_loss(self, selector: Selector, examples: Examples, *, step: int) -> Tensor:
        """Return the mean loss in nats of a batch of at least one example; `step` counts optimiser steps so far."""

    @abstractmethod
    def pool_scores(self, selector: Selector, examples: Examples, pools: Pools) -> Tensor:
        """Return the (B, C) scores of the candidates of B examples; each of the B pools has C candidates."""


class InBatchNegatives(SelectionObjective):
    """Loss of a dual encoder, in which each response is compared with all other candidates of its batch.

    Equal texts are encoded once, and are not negatives of each other.
    """

    def batch_loss(self, selector: Selector, examples: Examples, *, step: int) -> Tensor:
        encoder = cast(DualEncoder, selector)
        texts, order = self.candidates(examples)
        contexts = [encoder.context_row(example.turns, example.persona) for example in examples]
        candidates = [encoder.candidate_row(ids) for ids in texts]
        return self.rows_loss(encoder, contexts, candidates, order.to(selector.device), step=step)

    def candidates(self, examples: Examples) -> tuple[list[Ids], Tensor]:
        """Return the distinct candidates of B examples, and (C,) the index of each candidate of the batch among them.

        The first B candidates of the batch are the responses.
        """
        responses, response_indices = _deduplicate([example.response for example in examples])
        distractors, _ = _deduplicate([ids for example in examples for ids in example.distractors])
        response_set = set(map(tuple, responses))
        texts = [*responses, *(ids for ids in distractors if tuple(ids) not in response_set)]
        return texts, torch.tensor([*response_indices, *range(len(responses), len(texts))])

    def rows_loss(
        self, selector: DualEncoder, contexts: Sequence[Any], candidates: Sequence[Any], order: Tensor, *, step: int
    ) -> Tensor:
        """Return the mean loss of B contexts.

        Args:
            contexts: Rows of the B contexts, as the selector encodes them.
            candidates: Rows of the distinct candidates of the batch.
            order: (C,) index in `candidates` of each of the batch's C candidates; the first B are the gold responses.
            step: Number of optimiser steps so far.
        """
        scores = self.row_scores(selector, contexts, candidates)[:, order]
        return in_batch_loss(scores, order, label_smoothing=self.options.label_smoothing)

    def row_scores(self, selector: DualEncoder, contexts: Sequence[Any], candidates: Sequence[Any]) -> Tensor:
        """Return the scores of all pairs of context rows and candidate rows, with gradients."""
        recompute = self.options.cached_gradients
        encoded = selector.encode_context_rows(contexts, recompute=recompute)
        return selector.score_encoded(encoded, selector.encode_candidate_rows(candidates, recompute=recompute))

    def pool_scores(self, selector: Selector, examples: Examples, pools: Pools) -> Tensor:
        encoder = cast(DualEncoder, selector)
        texts, indices = _deduplicate([ids for pool in pools for ids in pool])
        encoded = encoder.encode_context_rows([encoder.context_row(e.turns, e.persona) for e in examples])
        vectors = encoder.encode_candidate_rows([encoder.candidate_row(ids) for ids in texts])
        order = torch.tensor(indices, device=selector.device).view(len(pools), -1)
        return encoder.score_encoded(encoded, vectors[order])


@dataclass(frozen=True, kw_only=True)
class ConvertObjective(InBatchNegatives):
    """In-batch loss of ConveRT. Its scale of the cosine grows to the maximum in `scale_steps` optimiser steps."""

    scale_steps: int

    def rows_loss(
        self, selector: DualEncoder, contexts: Sequence[Any], candidates: Sequence[Any], order: Tensor, *, step: int
    ) -> Tensor:
        return cast(Convert, selector).training_loss(
            contexts,
            [candidates[index] for index in order.tolist()],
            order,
            batch=step * SCALE_BATCHES // self.scale_steps,
            label_smoothing=self.options.label_smoothing,
            recompute=self.options.cached_gradients,
        )


@dataclass(frozen=True, kw_only=True)
class SampledNegatives(SelectionObjective):
    """Loss of a cross-encoder, in which each response is compared with at most `num_negatives` sampled candidates."""

    num_negatives: int

    def batch_loss(self, selector: Selector, examples: Examples, *, step: int) -> Tensor:
        drawn = (draw_negatives(example, examples, self.num_negatives) for example in examples)
        pools, mask = pad_pools(
            [[example.response, *negatives] for example, negatives in zip(examples, drawn, strict=True)]
        )
        scores = self._scores(selector, examples, pools, recompute=self.options.cached_gradients)
        gold = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        smoothing = self.options.label_smoothing
        return pool_losses(scores, mask.to(scores.device), gold, label_smoothing=smoothing).mean()

    def pool_scores(self, selector: Selector, examples: Examples, pools: Pools) -> Tensor:
        return self._scores(selector, examples, pools)

    def _scores(self, selector: Selector, examples: Examples, pools: Pools, *, recompute: bool = False) -> Tensor:
        encoder = cast(CrossEncoder, selector)
        rows = [encoder.context_row(example.turns, example.persona) for example in examples]
        return encoder.score_rows(rows, pools, recompute=recompute)


def draw_negatives(example: TokenisedChoice, examples: Examples, count: int) -> list[Ids]:
    """Return at most `count` distinct negatives: an example's distractors first, then random responses of the batch."""
    order = torch.randperm(len(examples)).tolist()
    others = [*example.distractors, *(examples[index].response for index in order)]
    distinct = {tuple(ids): ids for ids in others if ids != example.response}
    return list(distinct.values())[:count]


def pad_pools(pools: Pools) -> tuple[list[list[Ids]], Tensor]:
    """Pad pools to the size of the largest one by repeating their first candidate.

    Returns the padded pools, and a (B, C) mask that is False for padding.
    """
    max_size = max(map(len, pools))
    mask = torch.arange(max_size) < torch.tensor([[len(pool)] for pool in pools])
    return [[*pool, *[pool[0]] * (max_size - len(pool))] for pool in pools], mask


def _deduplicate(texts: Sequence[Ids]) -> tuple[list[Ids], list[int]]:
    """Return the distinct texts, and the index of each text in the list of distinct ones."""
    seen: dict[tuple[int, ...], int] = {}
    indices = [seen.setdefault(tuple(ids), len(seen)) for ids in texts]
    return [list(ids) for ids in seen], indices

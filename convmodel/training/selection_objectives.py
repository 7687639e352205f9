"""Training losses of selectors: with in-batch negatives, with sampled negatives, and the loss of ConveRT."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
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
from convmodel.training.shared_batches import encode_together, gather_texts, mean_counts, rank_and_size

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
        """Return the loss in nats of this process's examples; its mean over the processes is that of the whole batch.

        All processes must call this method, even without examples. `step` counts optimiser steps so far.
        """

    @abstractmethod
    def pool_scores(self, selector: Selector, examples: Examples, pools: Pools) -> Tensor:
        """Return the (B, C) scores of the candidates of B examples; each of the B pools has C candidates."""


@dataclass(frozen=True)
class EncodedBatch:
    """The contexts of this process and the candidates of all processes, encoded with gradients.

    Args:
        contexts: B contexts, in the form that the selector scores; None if this process has none.
        candidates: vectors of the distinct candidates of all processes, one in each row.
        texts: token ids of these candidates.
        order: (C,) row of each candidate of the batch; the first B are the gold responses. Equal texts have one row.
        counts: number by which each sum of losses is divided; see `mean_counts`.
    """

    contexts: Any
    candidates: Tensor
    texts: list[Ids]
    order: Tensor
    counts: Tensor


class InBatchNegatives(SelectionObjective):
    """Loss of a dual encoder, in which each response is compared with all other candidates of its batch.

    The batch is that of all processes: each encodes a part of the candidates, and gets the vectors of all. Equal texts
    are encoded once, and are not negatives of each other.
    """

    def batch_loss(self, selector: Selector, examples: Examples, *, step: int) -> Tensor:
        encoder = cast(DualEncoder, selector)
        batch = self.encode(encoder, examples)
        if batch.contexts is None:
            return batch.candidates.sum() * 0
        return self.encoded_loss(encoder, batch, step=step)

    def encode(self, selector: DualEncoder, examples: Examples) -> EncodedBatch:
        """Encode B contexts of this process and the candidates of all processes, with gradients."""
        texts, order = _shared_candidates(examples, selector.device)
        rows = [selector.context_row(example.turns, example.persona) for example in examples]
        counts = mean_counts(self.context_counts(selector, rows), selector.device)
        recompute = self.options.cached_gradients
        contexts = self.encode_contexts(selector, rows, recompute=recompute) if rows else None
        candidates = encode_together(
            lambda own: selector.encode_candidate_rows(list(map(selector.candidate_row, own)), recompute=recompute),
            texts,
        )
        return EncodedBatch(contexts, candidates, texts, order, counts)

    def context_counts(self, selector: DualEncoder, rows: Sequence[Any]) -> list[int]:
        """Return the number of contexts of each of the summed losses; a bi- or poly-encoder has one loss."""
        return [len(rows)]

    def encode_contexts(self, selector: DualEncoder, rows: Sequence[Any], *, recompute: bool) -> Any:
        """Encode the rows of B contexts, at least one, with gradients."""
        return selector.encode_context_rows(rows, recompute=recompute)

    def encoded_loss(self, selector: DualEncoder, batch: EncodedBatch, *, step: int) -> Tensor:
        """Return the loss of a batch with at least one context; `step` counts optimiser steps so far."""
        scores = selector.score_encoded(batch.contexts, batch.candidates)
        return self.scores_loss(scores, batch)

    def scores_loss(self, scores: Tensor, batch: EncodedBatch) -> Tensor:
        """Return the in-batch loss of the (B, C) scores of contexts and distinct candidates."""
        smoothing = self.options.label_smoothing
        return in_batch_loss(scores[:, batch.order], batch.order, label_smoothing=smoothing, count=batch.counts[0])

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

    def context_counts(self, selector: DualEncoder, rows: Sequence[Any]) -> list[int]:
        extra = sum(bool(row.extra) for row in rows)
        return [len(rows), extra, extra] if cast(Convert, selector).extra_contexts else [len(rows)]

    def encode_contexts(self, selector: DualEncoder, rows: Sequence[Any], *, recompute: bool) -> Any:
        return cast(Convert, selector).context_vectors(rows, recompute=recompute)

    def encoded_loss(self, selector: DualEncoder, batch: EncodedBatch, *, step: int) -> Tensor:
        vectors, mask = batch.contexts
        return cast(Convert, selector).training_loss(
            vectors,
            mask,
            batch.candidates[batch.order],
            batch.order,
            batch=step * SCALE_BATCHES // self.scale_steps,
            label_smoothing=self.options.label_smoothing,
            counts=batch.counts,
        )


@dataclass(frozen=True, kw_only=True)
class SampledNegatives(SelectionObjective):
    """Loss of a cross-encoder, in which each response is compared with at most `num_negatives` sampled candidates."""

    num_negatives: int

    def batch_loss(self, selector: Selector, examples: Examples, *, step: int) -> Tensor:
        counts = mean_counts([len(examples)], selector.device)
        if not examples:
            return counts.new_zeros(())
        pools, mask = pad_pools(draw_pools(examples, self.num_negatives))
        scores = self._scores(selector, examples, pools, recompute=self.options.cached_gradients)
        gold = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        smoothing = self.options.label_smoothing
        return pool_losses(scores, mask.to(scores.device), gold, label_smoothing=smoothing).sum() / counts[0]

    def pool_scores(self, selector: Selector, examples: Examples, pools: Pools) -> Tensor:
        return self._scores(selector, examples, pools)

    def _scores(self, selector: Selector, examples: Examples, pools: Pools, *, recompute: bool = False) -> Tensor:
        encoder = cast(CrossEncoder, selector)
        rows = [encoder.context_row(example.turns, example.persona) for example in examples]
        return encoder.score_rows(rows, pools, recompute=recompute)


def draw_pools(examples: Examples, num_negatives: int) -> list[list[Ids]]:
    """Return a pool for each example: its response, then at most `num_negatives` distinct negatives.

    Negatives are the example's own distractors first, then random responses of the batch.
    """
    pools = []
    for example in examples:
        order = torch.randperm(len(examples)).tolist()
        others = [*example.distractors, *(examples[index].response for index in order)]
        distinct = {tuple(ids): ids for ids in others if ids != example.response}
        pools.append([example.response, *list(distinct.values())[:num_negatives]])
    return pools


def _shared_candidates(examples: Examples, device: torch.device) -> tuple[list[Ids], Tensor]:
    """Return the distinct candidates of all processes, and (C,) the index of each candidate of the batch among them.

    The candidates of the batch are the responses of all processes, this process's first, then the distractors.
    """
    responses_by_rank = gather_texts([example.response for example in examples], device)
    distractors_by_rank = gather_texts([ids for example in examples for ids in example.distractors], device)
    responses, indices = _deduplicate(list(chain.from_iterable(responses_by_rank)))
    distractors, _ = _deduplicate(list(chain.from_iterable(distractors_by_rank)))
    response_set = set(map(tuple, responses))
    texts = [*responses, *(ids for ids in distractors if tuple(ids) not in response_set)]
    start = sum(map(len, responses_by_rank[: rank_and_size()[0]]))
    end = start + len(examples)
    order = [*indices[start:end], *indices[:start], *indices[end:], *range(len(responses), len(texts))]
    return texts, torch.tensor(order, device=device)


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

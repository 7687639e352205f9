"""Hard negatives mined during training: responses of other examples that the model itself scores best."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from convmodel.models.selection.dual_encoder import DualEncoderSelector
from convmodel.models.selection.search.exact import search_exact
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts
from convmodel.models.text_generation import eval_mode
from convmodel.tokens.selection_dataset import Ids, SelectionDataset, TokenisedChoice

BATCH = 256
"""Number of texts encoded at once."""


@dataclass
class MinedNegatives:
    """Hard negatives that are mined with the weights of the moment during training. Source: ANCE, arXiv:2007.00808.

    Every `every_steps` optimiser steps, all responses of the training file are encoded and ranked for each context.
    Training waits for it. The best-ranked ones that are neither the response itself nor a turn of the context are added
    to the example's distractors until the next time. Before the first time there are none.

    Args:
        every_steps: Number of optimiser steps between two minings.
        per_context: Number of negatives of each context.
        from_rank: Number of best-ranked responses that are left out, because they may be as good as the real response.
    """

    every_steps: int = 500
    per_context: int = 2
    from_rank: int = 2

    def __post_init__(self) -> None:
        if self.every_steps < 1 or self.per_context < 1 or self.from_rank < 0:
            raise ValueError(
                f"model.mined_negatives: every_steps={self.every_steps}, per_context={self.per_context}, "
                f"from_rank={self.from_rank}; allowed are at least 1, at least 1, and at least 0"
            )


@torch.no_grad()
def mine_negatives(
    selector: DualEncoderSelector[Any, Any], dataset: SelectionDataset, options: MinedNegatives
) -> Tensor:
    """Return (N, K) indices of the examples whose responses are the mined negatives of each of N examples.

    The network is in evaluation mode meanwhile, and afterwards in the mode that it had. Missing negatives have the
    index -1.
    """
    with eval_mode(selector.network):
        return _mine(selector, dataset, options)


def _mine(selector: DualEncoderSelector[Any, Any], dataset: SelectionDataset, options: MinedNegatives) -> Tensor:
    texts, owners = _responses(dataset)
    vectors = [
        selector.encode_candidate_rows(list(map(selector.candidate_row, texts[start : start + BATCH]))).float().cpu()
        for start in range(0, len(texts), BATCH)
    ]
    matrix = CandidateMatrix(torch.cat(vectors))
    table = torch.full((len(dataset), options.per_context), -1, dtype=torch.int32)
    for start, examples in _batches(dataset):
        encoded = selector.encode_context_rows([selector.context_row(e.turns, e.persona) for e in examples])
        contexts = EncodedContexts(encoded.vectors.float().cpu(), encoded.mask.cpu())
        most = max(len(example.turns) for example in examples) + 1 + options.from_rank + options.per_context
        best = search_exact(contexts, matrix, most).ids.tolist()
        for row, (example, ids) in enumerate(zip(examples, best, strict=True), start):
            excluded = {tuple(example.response), *map(tuple, example.turns)}
            ranked = [owners[index] for index in ids if tuple(texts[index]) not in excluded]
            mined = ranked[options.from_rank :][: options.per_context]
            table[row, : len(mined)] = torch.tensor(mined, dtype=torch.int32)
    return table


def add_negatives(
    examples: Sequence[TokenisedChoice], table: Tensor, dataset: SelectionDataset
) -> list[TokenisedChoice]:
    """Return the examples with their mined negatives after their distractors; see `mine_negatives` for the table."""
    added = []
    for example in examples:
        owners = [index for index in table[example.index].tolist() if index >= 0]
        mined = [owner.response for owner in dataset.read(owners, distractors=0)]
        added.append(replace(example, distractors=[*example.distractors, *mined]))
    return added


def _responses(dataset: SelectionDataset) -> tuple[list[Ids], list[int]]:
    """Return the distinct responses of a dataset, and for each the index of the first example that has it."""
    first: dict[tuple[int, ...], int] = {}
    for start, examples in _batches(dataset):
        for index, example in enumerate(examples, start):
            first.setdefault(tuple(example.response), index)
    return [list(ids) for ids in first], list(first.values())


def _batches(dataset: SelectionDataset) -> Iterator[tuple[int, list[TokenisedChoice]]]:
    """Yield the index of the first example of each batch, and the examples."""
    for start in range(0, len(dataset), BATCH):
        yield start, dataset.read(range(start, min(start + BATCH, len(dataset))), distractors=0)

"""Texts and vectors of a batch that the processes of torch.distributed train on together."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_reduce

from convmodel.tokens.selection_dataset import Ids


def rank_and_size() -> tuple[int, int]:
    """Return the rank of this process and the number of processes; 0 and 1 without torch.distributed."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def gather_texts(texts: Sequence[Ids], device: torch.device) -> list[list[Ids]]:
    """Return the texts of each process, in the order of the ranks. All processes must call this function."""
    if rank_and_size()[1] == 1:
        return [list(texts)]
    flat = [len(texts), *(number for ids in texts for number in (len(ids), *ids))]
    return [_split_texts(numbers[1:]) for numbers in _gather_integers(flat, device)]


def mean_counts(counts: Sequence[int], device: torch.device) -> Tensor:
    """Return (M,) means of M counts over the processes; a sum over the processes of 0 counts as 1.

    DDP averages gradients over the processes, so a sum divided by such a mean gives the gradient of the whole batch.
    """
    size = rank_and_size()[1]
    sums = torch.tensor(counts, dtype=torch.float32, device=device)
    if size > 1:
        distributed.all_reduce(sums)
    return sums.clamp(min=1) / size


def encode_together(encode: Callable[[Sequence[Ids]], Tensor], texts: Sequence[Ids]) -> Tensor:
    """Return (C, D) vectors of C texts, of which each process encodes an equal share, with gradients.

    The gradient of a vector is the sum of its gradients in all processes. All processes must call this function with
    the same texts, and take part in the backward pass; contexts must be encoded before, because its backward pass must
    run before the first gradient of a weight is averaged.
    """
    rank, size = rank_and_size()
    if size == 1:
        return encode(texts)
    own = range(rank, len(texts), size)
    # A process without a share encodes one text, because DDP waits for gradients of all weights in each process.
    vectors = encode([texts[index] for index in own] or texts[:1]).float()
    indices = torch.tensor(own, dtype=torch.long, device=vectors.device)
    all_vectors = vectors.new_zeros(len(texts), vectors.shape[1]).index_copy(0, indices, vectors[: len(own)])
    return cast(Tensor, all_reduce(all_vectors))


def _gather_integers(numbers: Sequence[int], device: torch.device) -> list[list[int]]:
    """Return the integers of each process, of which each has at least one."""
    size = torch.tensor([len(numbers)], device=device)
    sizes = [torch.zeros_like(size) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, size)
    row = torch.zeros(max(map(int, sizes)), dtype=torch.long, device=device)
    row[: len(numbers)] = torch.tensor(numbers, device=device)
    rows = [torch.empty_like(row) for _ in sizes]
    distributed.all_gather(rows, row)
    return [gathered[: int(count)].tolist() for gathered, count in zip(rows, sizes, strict=True)]


def _split_texts(numbers: Sequence[int]) -> list[Ids]:
    """Return the texts of a list in which each text's ids follow their number."""
    texts: list[Ids] = []
    position = 0
    while position < len(numbers):
        end = position + 1 + numbers[position]
        texts.append(list(numbers[position + 1 : end]))
        position = end
    return texts

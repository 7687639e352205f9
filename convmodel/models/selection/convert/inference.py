"""Token ids of texts in, ConveRT's reduced vectors out, without gradients and without a single token of padding.

The tokens of texts of like length stand in one row after the other: every product is one over all of them, and only
attention, a small part of the work, goes by groups of equal length.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, groupby
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from convmodel.generation.int8 import Int8Linear
from convmodel.models.selection.convert.network import Block, ConvertNetwork, Reduction
from convmodel.tokens.batching import batches_by_length

TOKENS = 1_024
"""Tokens that go through the network at once: what is built for them stays in the caches of a CPU."""

GELU = 1.702
"""x sigmoid(1.702 x) is silu(1.702 x) / 1.702: one step where the factors are in the weights around it."""

Product = Callable[[Tensor], Tensor]
Version = tuple[tuple[int, int], ...]

Group = tuple[slice, int]
"""Where the tokens of texts of one length stand, and that length."""


class Packed:
    """A network's weights, put together so that a text's tokens pass quickly; a second copy of the blocks' weights.

    Args:
        network: its weights at this moment are read.
        int8: whether the blocks' products are in 8 bits.
    """

    def __init__(self, network: ConvertNetwork, *, int8: bool = False) -> None:
        self.version = _version(network)
        self._embeddings = network.embeddings
        with torch.no_grad():
            self._blocks = [_PackedBlock(cast(Block, block), int8=int8) for block in network.blocks]
            self._reduction = _PackedReduction(network.reduction)
        self._dtype = network.reduction.query.weight.dtype

    def reduced(self, rows: Sequence[Sequence[int]], *, tokens: int = TOKENS) -> Tensor:
        """B rows of at least one id each in, (B, heads x D) out; at least one row."""
        chunks = list(batches_by_length([len(row) for row in rows], max_tokens=tokens))
        found = torch.cat(_side_by_side([partial(self._chunk, [rows[n] for n in numbers]) for numbers in chunks]))
        back = torch.empty(len(rows), dtype=torch.long)
        back[torch.tensor(list(chain.from_iterable(chunks)))] = torch.arange(len(rows))
        return found[back]

    @torch.no_grad()
    def _chunk(self, rows: Sequence[Sequence[int]]) -> Tensor:
        groups = list(_groups(rows))
        ids = torch.tensor(list(chain.from_iterable(rows)))
        places = torch.tensor(list(chain.from_iterable(map(range, map(len, rows)))))
        hidden = self._embeddings(ids, places).to(self._dtype)
        for block in self._blocks:
            hidden = block(hidden, groups)
        return self._reduction(hidden, groups)


def _side_by_side(calls: Sequence[Callable[[], Tensor]]) -> list[Tensor]:
    """Runs calls in as many threads as torch has, each alone in its own: none waits for another after each product."""
    threads = torch.get_num_threads()
    if threads == 1 or len(calls) < 2 * threads:
        return [call() for call in calls]
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(lambda call: call(), calls))
    finally:
        torch.set_num_threads(threads)


def is_current(packed: Packed, network: ConvertNetwork) -> bool:
    """Whether a network's weights are still those that were put together."""
    return packed.version == _version(network)


def _version(network: ConvertNetwork) -> Version:
    """Changes with every change in place, as optimisers make it, and with new memory.

    Weights that were loaded in torch's inference mode count no changes; nothing trains them.
    """
    return tuple((w.data_ptr(), 0 if w.is_inference() else w._version) for w in network.parameters())


def _groups(rows: Sequence[Sequence[int]]) -> Iterator[Group]:
    """Of rows from short to long."""
    start = 0
    for length, equal in groupby(map(len, rows)):
        stop = start + length * sum(1 for _ in equal)
        yield slice(start, stop), length
        start = stop


def _product(weight: Tensor, bias: Tensor, *, int8: bool) -> Product:
    if int8:
        return Int8Linear(weight, bias)
    return lambda x: functional.linear(x, weight, bias)


class _PackedBlock:
    def __init__(self, block: Block, *, int8: bool) -> None:
        attention = block.attention
        self._projection = attention.query.out_features
        parts: list[Any] = [attention.query, attention.key, attention.value]
        root = self._projection**-0.5
        factors = (root, 1.0, 1.0)  # queries carry the division of the scores
        joined = torch.cat([part.weight * factor for part, factor in zip(parts, factors, strict=True)])
        biases = torch.cat([part.bias * factor for part, factor in zip(parts, factors, strict=True)])
        self._three = _product(joined, biases, int8=int8)
        self._out = _product(attention.out.weight, attention.out.bias, int8=int8)
        self._inner_in = _product(block.inner_in.weight * GELU, block.inner_in.bias * GELU, int8=int8)
        self._inner_out = _product(block.inner_out.weight / GELU, block.inner_out.bias, int8=int8)
        self._norms = block.norm_attention, block.norm_inner
        self._bias, self._window = attention.bias.detach(), attention.window

    def __call__(self, hidden: Tensor, groups: Sequence[Group]) -> Tensor:
        """(N, D) tokens in and out."""
        three = self._three(hidden)
        attended = torch.empty_like(three[:, : self._projection])
        for place, length in groups:
            query, key, value = three[place].view(-1, 1, length, 3, self._projection).unbind(3)
            bias = self._bias_of(length)
            found = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
            attended[place] = found.flatten(0, 2)
        hidden = self._norms[0](self._out(attended).add_(hidden))
        inner = functional.silu(self._inner_in(hidden), inplace=True)
        result: Tensor = self._norms[1](self._inner_out(inner).add_(hidden))
        return result

    def _bias_of(self, length: int) -> Tensor:
        places = torch.arange(length)
        return self._bias[(places[None] - places[:, None]).clamp_(-self._window, self._window) + self._window]


class _PackedReduction:
    def __init__(self, reduction: Reduction) -> None:
        self._heads = reduction.heads
        root = (reduction.query.out_features // reduction.heads) ** -0.5
        self._weight = torch.cat([reduction.query.weight * root, reduction.key.weight])
        self._bias = torch.cat([reduction.query.bias * root, reduction.key.bias])

    def __call__(self, hidden: Tensor, groups: Sequence[Group]) -> Tensor:
        """(N, D) tokens in, (B, heads x D) out.

        The sum over all rows of weights x values is the sum of the rows of weights, x values: one row of each head.
        """
        both = functional.linear(hidden, self._weight, self._bias)
        found: list[Tensor] = []
        for place, length in groups:
            query, key = both[place].view(-1, length, 2, self._heads, both.shape[1] // (2 * self._heads)).unbind(2)
            scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1)  # (B, heads, T, T)
            summed = scores.softmax(-1).sum(2) @ hidden[place].view(-1, length, hidden.shape[1])  # (B, heads, D)
            found.append(summed.flatten(1) * length**-0.5)
        return torch.cat(found)

"""Inference of ConveRT's shared layers without gradients and without padding.

Texts are sorted by length, and their tokens are concatenated. A linear layer is one matrix product over all tokens.
Only attention, a small part of the work, is computed separately for each group of texts of equal length.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, groupby
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from convmodel.generation.int8 import DynamicInt8Linear
from convmodel.models.selection.convert.network import Block, ConvertNetwork, Reduction
from convmodel.tokens.batching import batches_by_length

TOKENS = 1_024
"""Number of tokens that pass through the network at once, so that intermediate results stay in a CPU's caches."""

GELU = 1.702
"""Factor in the paper's GELU, x sigmoid(1.702 x) = silu(1.702 x) / 1.702, which is moved into adjacent weights."""

Group = tuple[slice, int]
"""The texts of one length: the range of their tokens, and the length."""


class PackedNetwork:
    """A copy of a network's current weights, arranged for fast inference.

    With `int8`, matrix products of the blocks are computed in int8.
    """

    def __init__(self, network: ConvertNetwork, *, int8: bool = False) -> None:
        self._version = _weights_version(network)
        self._embeddings = network.embeddings
        with torch.no_grad():
            self._blocks = [_PackedBlock(cast(Block, block), int8=int8) for block in network.blocks]
            self._reduction = _PackedReduction(network.reduction)
        self._dtype = network.reduction.query.weight.dtype

    def is_current(self, network: ConvertNetwork) -> bool:
        """Return whether a network's weights have not changed since they were packed."""
        return self._version == _weights_version(network)

    def reduced(self, rows: Sequence[Sequence[int]], *, tokens: int = TOKENS) -> Tensor:
        """Return the (B, heads x D) results of `Reduction` for B rows of ids; neither B nor a row's length may be 0."""
        batches = list(batches_by_length([len(row) for row in rows], max_tokens=tokens))
        calls = [partial(self._reduce_batch, [rows[index] for index in indices]) for indices in batches]
        reduced = torch.cat(_run_in_threads(calls))
        return reduced[torch.tensor(list(chain.from_iterable(batches))).argsort()]

    @torch.no_grad()
    def _reduce_batch(self, rows: Sequence[Sequence[int]]) -> Tensor:
        groups = list(_groups(rows))
        ids = torch.tensor(list(chain.from_iterable(rows)))
        positions = torch.tensor(list(chain.from_iterable(map(range, map(len, rows)))))
        hidden = self._embeddings(ids, positions).to(self._dtype)
        for block in self._blocks:
            hidden = block(hidden, groups)
        return self._reduction(hidden, groups)


def _run_in_threads(calls: Sequence[Callable[[], Tensor]]) -> list[Tensor]:
    """Run calls in as many threads as torch uses, and return their results.

    Within a call torch uses one thread, so that threads do not wait for each other.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(calls) < 2 * threads:
        return [call() for call in calls]
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(lambda call: call(), calls))
    finally:
        torch.set_num_threads(threads)


def _weights_version(network: ConvertNetwork) -> tuple[tuple[int, int], ...]:
    """Return a value that changes whenever the weights are updated in place or moved to other memory.

    torch does not count updates of weights that were created in inference mode, but these cannot be trained.
    """
    return tuple((w.data_ptr(), 0 if w.is_inference() else w._version) for w in network.parameters())


def _groups(rows: Sequence[Sequence[int]]) -> Iterator[Group]:
    """Yield the groups of rows of equal length; the rows are sorted by length."""
    start = 0
    for length, equal in groupby(map(len, rows)):
        stop = start + length * sum(1 for _ in equal)
        yield slice(start, stop), length
        start = stop


def _linear(weight: Tensor, bias: Tensor, *, int8: bool) -> Callable[[Tensor], Tensor]:
    if int8:
        return DynamicInt8Linear(weight, bias)
    return lambda x: functional.linear(x, weight, bias)


class _PackedBlock:
    def __init__(self, block: Block, *, int8: bool) -> None:
        attention = block.attention
        self._projection = attention.query.out_features
        layers: list[Any] = [attention.query, attention.key, attention.value]
        factors = (self._projection**-0.5, 1.0, 1.0)  # queries include the scaling of the scores
        weights = torch.cat([layer.weight * factor for layer, factor in zip(layers, factors, strict=True)])
        biases = torch.cat([layer.bias * factor for layer, factor in zip(layers, factors, strict=True)])
        self._query_key_value = _linear(weights, biases, int8=int8)
        self._out = _linear(attention.out.weight, attention.out.bias, int8=int8)
        self._inner_in = _linear(block.inner_in.weight * GELU, block.inner_in.bias * GELU, int8=int8)
        self._inner_out = _linear(block.inner_out.weight / GELU, block.inner_out.bias, int8=int8)
        self._norms = block.norm_attention, block.norm_inner
        self._bias = attention.bias.detach()
        self._window = attention.window

    def __call__(self, hidden: Tensor, groups: Sequence[Group]) -> Tensor:
        """Return the (N, D) states after the block, for (N, D) states of the tokens."""
        projected = self._query_key_value(hidden)
        attended = torch.empty_like(projected[:, : self._projection])
        for tokens, length in groups:
            query, key, value = projected[tokens].view(-1, 1, length, 3, self._projection).unbind(3)
            bias = self._position_bias(length)
            values = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
            attended[tokens] = values.flatten(0, 2)
        hidden = self._norms[0](self._out(attended).add_(hidden))
        inner = functional.silu(self._inner_in(hidden), inplace=True)
        result: Tensor = self._norms[1](self._inner_out(inner).add_(hidden))
        return result

    def _position_bias(self, length: int) -> Tensor:
        positions = torch.arange(length)
        distances = (positions[None] - positions[:, None]).clamp_(-self._window, self._window)
        return self._bias[distances + self._window]


class _PackedReduction:
    def __init__(self, reduction: Reduction) -> None:
        self._heads = reduction.heads
        scale = (reduction.query.out_features // reduction.heads) ** -0.5
        self._weight = torch.cat([reduction.query.weight * scale, reduction.key.weight])
        self._bias = torch.cat([reduction.query.bias * scale, reduction.key.bias])

    def __call__(self, hidden: Tensor, groups: Sequence[Group]) -> Tensor:
        """Return the (B, heads x D) results of `Reduction` for (N, D) states of the tokens.

        The attended values are summed over the queries. The same sum results from attention weights that are summed
        first, so that the values are multiplied by one row of weights per head.
        """
        projected = functional.linear(hidden, self._weight, self._bias)
        width = projected.shape[1] // (2 * self._heads)
        reduced: list[Tensor] = []
        for tokens, length in groups:
            query, key = projected[tokens].view(-1, length, 2, self._heads, width).unbind(2)
            scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1)  # (B, heads, T, T)
            summed = scores.softmax(-1).sum(2) @ hidden[tokens].view(-1, length, hidden.shape[1])  # (B, heads, D)
            reduced.append(summed.flatten(1) * length**-0.5)
        return torch.cat(reduced)

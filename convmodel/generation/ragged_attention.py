"""Attention of new tokens of many sequences at once over a KV cache, without padding ("ragged")."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional

from convmodel.generation.attention import AttentionLayer, attend
from convmodel.generation.kv_cache import ALIGNED, FUSED, KVCache, num_keys


@dataclass(frozen=True, slots=True)
class SequenceChunk:
    """Tokens of one sequence that are read in one step.

    Args:
        slot: index of the sequence's slot in the cache.
        start: number of tokens of the sequence that were read before.
        input_ids, token_type_ids: T new tokens, at least one, and their types; None to read them without types.
        needs_logits: whether the logits after the last token are needed.
        adapter: index of the adapter with which the tokens are read; None for the model itself.
    """

    slot: int
    start: int
    input_ids: Sequence[int]
    token_type_ids: Sequence[int] | None
    needs_logits: bool = True
    adapter: int | None = None


class RaggedAttention:
    """Attention of the chunks of one step; see `attention.Attend`. New keys and values are written into the cache.

    Each sequence attends separately, over as many tokens as it has read. On a CPU, neither padding to the longest nor
    gathering all keys and values in one tensor is faster: reading them from memory takes most of the time.

    With `independent`, on a CPU each token attends separately too (`_TokenGroup`), so that its state is the same, bit
    for bit, however a context was split into chunks and whichever other sequences are read. A product of several
    queries is faster, but sums in an order that depends on their number; it is used otherwise and on other devices.
    """

    def __init__(self, chunks: Sequence[SequenceChunk], cache: KVCache, *, independent: bool = True) -> None:
        self._independent = independent
        self._chunks = chunks
        self._cache = cache
        self._plans: dict[tuple[int, int | None, torch.dtype], _Plan] = {}

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, layer: AttentionLayer) -> Tensor:
        """Return the attention output (N, H, D) of all tokens; see `attention.Attend`."""
        kind = (queries.shape[2], layer.window, queries.dtype)
        plan = self._plans.get(kind)
        if plan is None:
            plan = self._plans[kind] = _Plan(self._chunks, self._cache.device, *kind, independent=self._independent)
        cached_keys, cached_values = cached = self._cache.layer(layer.index, keys, values)
        if len(queries) == 1:
            [group] = plan.groups
            cached_keys[group.slot, :, group.position] = keys[0]
            cached_values[group.slot, :, group.position] = values[0]
            return group.attend(queries, cached, layer)
        if plan.tokens is None:
            return _attend_singly(plan, queries, keys, values, cached, layer)
        output = values.new_empty(*queries.shape[:2], values.shape[2])
        if plan.groups:
            single = (queries[plan.tokens], keys[plan.tokens], values[plan.tokens])
            output[plan.tokens] = _attend_singly(plan, *single, cached, layer)
        for block in plan.blocks:
            block.attend(queries, keys, values, cached, layer, output)
        return output


class _Plan:
    """Division of the chunks of one step into groups and blocks, for layers with the same width and window."""

    def __init__(
        self,
        chunks: Sequence[SequenceChunk],
        device: torch.device,
        width: int,
        window: int | None,
        dtype: torch.dtype,
        *,
        independent: bool,
    ) -> None:
        ends = [0, *accumulate(len(chunk.input_ids) for chunk in chunks)]
        exact = device.type == "cpu" and dtype == torch.float32
        apart = exact and independent
        single = [n for n, chunk in enumerate(chunks) if apart or len(chunk.input_ids) == 1]
        several = [n for n, chunk in enumerate(chunks) if not apart and len(chunk.input_ids) > 1]
        grouped = _group_tokens if exact else _single_tokens
        self.blocks = [_Block.of(chunks[n], ends[n], window, device) for n in several]
        self.groups = [group for n in single for group in grouped(chunks[n], width, window)]
        tokens = [token for n in single for token in range(ends[n], ends[n + 1])]
        self.tokens = torch.tensor(tokens, dtype=torch.long, device=device) if self.blocks else None
        targets = [(group.slot, group.position + step) for group in self.groups for step in range(group.count)]
        self.slots, self.positions = torch.tensor(targets, dtype=torch.long, device=device).view(-1, 2).unbind(1)
        self.counts = [group.count for group in self.groups]


def _attend_singly(
    plan: _Plan, queries: Tensor, keys: Tensor, values: Tensor, cached: tuple[Tensor, Tensor], layer: AttentionLayer
) -> Tensor:
    """Return the attention output of the tokens of all groups."""
    cached[0][plan.slots, :, plan.positions] = keys
    cached[1][plan.slots, :, plan.positions] = values
    size = queries[0].numel()
    if size % ALIGNED:  # each query begins at a multiple of 64 bytes, as keys do
        queries = functional.pad(queries.flatten(1), (0, -size % ALIGNED))[:, :size].unflatten(1, queries.shape[1:])
    parts = zip(plan.groups, queries.split(plan.counts), strict=True)
    return torch.cat([group.attend(part, cached, layer) for group, part in parts])


@dataclass(frozen=True, slots=True)
class _TokenGroup:
    """Tokens of one sequence, from `position`, that attend separately, each to the keys from `first` to `stop`.

    `mask` (T, 1, 1, keys) is added to the scores; None for a token that reads all these keys.
    """

    slot: int
    position: int
    count: int
    first: int
    stop: int
    mask: Tensor | None

    def attend(self, queries: Tensor, cached: tuple[Tensor, Tensor], layer: AttentionLayer) -> Tensor:
        """Return the attention output (T, H, D) of (T, H, D) queries."""
        keys, values = (part[self.slot, None, :, self.first : self.stop] for part in cached)
        if self.count * keys.shape[1] == 1:
            # A single sum would be shared among the threads that happen to be free, so it is computed twice.
            queries = queries.expand(2, -1, -1)
        return attend(queries[:, :, None], keys, values, layer, self.mask)[: self.count, :, 0]


def _single_tokens(chunk: SequenceChunk, width: int, window: int | None) -> Iterator[_TokenGroup]:
    """Yield the only token of a chunk, which reads exactly the keys that it sees."""
    first = 0 if window is None else max(0, chunk.start + 1 - window)
    yield _TokenGroup(chunk.slot, chunk.start, 1, first, chunk.start + 1, None)


def _group_tokens(chunk: SequenceChunk, width: int, window: int | None) -> Iterator[_TokenGroup]:
    """Yield the tokens of a chunk, grouped by the number of keys that they read.

    Beyond `FUSED` keys each token has a call of its own, whose threads always divide its heads in the same way.
    """
    position = chunk.start
    end = chunk.start + len(chunk.input_ids)
    while position < end:
        keys = num_keys(position, width)
        if keys is None:
            stop = position + 1
            seen = stop if window is None else min(window, stop)
            read = num_keys(seen - 1, width) or seen
            mask = None if read == seen else _window_bias(read, seen)
            yield _TokenGroup(chunk.slot, position, 1, stop - read, stop, mask)
        else:
            stop = min(end, keys)
            mask = _causal_bias(window)[position:stop, None, None, :keys]
            yield _TokenGroup(chunk.slot, position, stop - position, 0, keys, mask)
        position = stop


@cache
def _causal_bias(window: int | None) -> Tensor:
    """Return (FUSED, FUSED) values to add to scores: 0 for a token's visible keys, -inf for others."""
    future = torch.full((FUSED, FUSED), float("-inf")).triu(1)
    return future if window is None else future + torch.full((FUSED, FUSED), float("-inf")).tril(-window)


@cache
def _window_bias(read: int, seen: int) -> Tensor:
    """Return (1, 1, 1, read) values to add to scores: 0 for the last keys, which are seen, -inf for others."""
    bias = torch.zeros(1, 1, 1, read)
    bias[..., : read - seen] = float("-inf")
    return bias


@dataclass(frozen=True, slots=True)
class _Block:
    """Several tokens of one sequence, from `begin` to `end` of the tokens of a step, that attend in one product.

    They are at `start` and after it in the sequence, and see the keys from `first` of the (T, keys) mask.
    """

    slot: int
    begin: int
    end: int
    start: int
    first: int
    mask: Tensor

    @classmethod
    def of(cls, chunk: SequenceChunk, begin: int, window: int | None, device: torch.device) -> "_Block":
        size = len(chunk.input_ids)
        first = 0 if window is None else max(0, chunk.start + 1 - window)
        offset = chunk.start - first
        mask = torch.ones(size, offset + size, dtype=torch.bool, device=device).tril(offset)
        mask = mask if window is None else mask.triu(offset + 1 - window)
        return cls(chunk.slot, begin, begin + size, chunk.start, first, mask)

    def attend(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        cached: tuple[Tensor, Tensor],
        layer: AttentionLayer,
        output: Tensor,
    ) -> None:
        """Write the attention output of these tokens to their rows of `output` (N, H, D)."""
        tokens = slice(self.begin, self.end)
        stop = self.start + self.end - self.begin
        for part, new in zip(cached, (keys, values), strict=True):
            part[self.slot, :, self.start : stop] = new[tokens].transpose(0, 1)
        seen_keys, seen_values = (part[self.slot, None, :, self.first : stop] for part in cached)
        attended = attend(queries[None, tokens].transpose(1, 2), seen_keys, seen_values, layer, self.mask)
        output[tokens] = attended[0].transpose(0, 1)

"""Attention of new tokens of many sequences at once over a KV cache, without padding ("ragged")."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from convmodel.generation.attention import AttentionLayer, attend
from convmodel.generation.kv_cache import KVCache


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

    Each sequence attends separately, over as many tokens as it has read. On a CPU, padding to the longest sequence
    or gathering all keys and values in one tensor would not be faster, because reading them from memory dominates.
    """

    def __init__(self, chunks: Sequence[SequenceChunk], cache: KVCache) -> None:
        self._chunks = chunks
        self._cache = cache
        self._plans: dict[int | None, _Plan] = {}

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, layer: AttentionLayer) -> Tensor:
        """Return the attention output (N, H, D) of all tokens; see `attention.Attend`."""
        plan = self._plans.get(layer.window)
        if plan is None:
            plan = self._plans[layer.window] = _Plan(self._chunks, self._cache.device, layer.window)
        cached = self._cache.layer(layer.index, keys, values)
        if not plan.blocks:
            return _attend_singly(plan, queries, keys, values, cached, layer)
        output = values.new_empty(*queries.shape[:2], values.shape[2])
        if plan.singles:
            single = (queries[plan.tokens], keys[plan.tokens], values[plan.tokens])
            output[plan.tokens] = _attend_singly(plan, *single, cached, layer)
        for block in plan.blocks:
            block.attend(queries, keys, values, cached, layer, output)
        return output


class _Plan:
    """Division of the chunks of one step into single tokens and longer blocks, for all layers with the same window."""

    def __init__(self, chunks: Sequence[SequenceChunk], device: torch.device, window: int | None) -> None:
        ends = [0, *accumulate(len(chunk.input_ids) for chunk in chunks)]
        single = [n for n, chunk in enumerate(chunks) if len(chunk.input_ids) == 1]
        several = [n for n, chunk in enumerate(chunks) if len(chunk.input_ids) > 1]
        self.blocks = [_Block.of(chunks[n], ends[n], window, device) for n in several]
        self.singles = [(chunks[n].slot, chunks[n].start + 1) for n in single]
        """Slot and number of keys of each single token."""
        self.firsts = [0 if window is None else max(0, stop - window) for _, stop in self.singles]
        self.tokens = torch.tensor([ends[n] for n in single], dtype=torch.long, device=device)
        targets = [(slot, stop - 1) for slot, stop in self.singles]
        self.slots, self.positions = torch.tensor(targets, dtype=torch.long, device=device).view(-1, 2).unbind(1)


def _attend_singly(
    plan: _Plan, queries: Tensor, keys: Tensor, values: Tensor, cached: tuple[Tensor, Tensor], layer: AttentionLayer
) -> Tensor:
    """Write the keys and values of the single tokens to the cache, and return their attention output."""
    for part, new in zip(cached, (keys, values), strict=True):
        part[plan.slots, :, plan.positions] = new
    outputs = []
    for (slot, stop), first, query in zip(plan.singles, plan.firsts, queries, strict=True):
        seen_keys, seen_values = (part[slot, None, :, first:stop] for part in cached)
        outputs.append(attend(query[None, :, None], seen_keys, seen_values, layer, None)[0, :, 0])
    return torch.stack(outputs)


@dataclass(frozen=True, slots=True)
class _Block:
    """A chunk of T tokens of one sequence, whose attention is computed in one product.

    The tokens have the indices from `begin` up to `end` in the step, and positions from `start` in the sequence. They
    attend to the cached keys from position `first` on, where `mask` (T, keys) is true.
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
        """Write the keys and values of these tokens to the cache, and their attention output to `output` (N, H, D)."""
        tokens = slice(self.begin, self.end)
        stop = self.start + self.end - self.begin
        for part, new in zip(cached, (keys, values), strict=True):
            part[self.slot, :, self.start : stop] = new[tokens].transpose(0, 1)
        seen_keys, seen_values = (part[self.slot, None, :, self.first : stop] for part in cached)
        attended = attend(queries[None, tokens].transpose(1, 2), seen_keys, seen_values, layer, self.mask)
        output[tokens] = attended[0].transpose(0, 1)

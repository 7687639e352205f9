"""Run a GPT-2 on new tokens of many sequences at once, with a KV cache and without padding ("ragged")."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional
from transformers import GPT2LMHeadModel

from convmodel.generation.gpt2_layers import RaggedGPT2Layers, apply_layer_norm, make_product

ALIGNED = 16
"""Number of float32 values in 64 bytes."""

FUSED = 512
"""Maximum number of keys that the CPU's attention kernel reads in one block."""


class KVCache:
    """Keys and values of the tokens read so far, for a fixed number of slots of at most `n_positions` tokens.

    On a CPU, memory is allocated when a slot is first used; on a GPU, all of it at once.

    Args:
        model: model that determines the sizes, dtype and device.
        slots: number of slots. Each takes n_positions x n_layer x 2 x n_embd values.
    """

    def __init__(self, model: GPT2LMHeadModel, slots: int) -> None:
        config = model.config
        width = config.n_embd // config.n_head
        # Zeros, because masked values are still multiplied, by 0. The position after the last takes unused writes.
        # All slots and heads begin at a multiple of 64 bytes, because sums on a CPU depend on the alignment of memory.
        positions = max(config.n_positions + 1, num_keys(config.n_positions - 1, width) or 0)
        positions = math.ceil(positions / ALIGNED) * ALIGNED
        shape = (config.n_layer, 2, slots, config.n_head, positions, width)
        self.tensor = torch.zeros(shape, dtype=model.dtype, device=model.device)
        """(n_layer, 2, R, H, P, D / H): keys, then values, of R slots. P is above n_positions."""
        self.device = self.tensor.device

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of slot `source` to slot `target`."""
        self.tensor[:, :, target, :, :length] = self.tensor[:, :, source, :, :length]


def num_keys(position: int, width: int) -> int | None:
    """Return the number of keys that the token at a position reads on a CPU; None if exactly those up to its own.

    The order of the sums in the CPU's kernel depends on the number of keys, and on the alignment of a thread's working
    memory, which takes keys + 2 + width values for up to `FUSED` keys. If these are a multiple of 32, every thread's
    memory is aligned, and the sums of a token do not depend on the thread that computes them.
    """
    keys = math.ceil((position + 3 + width) / 32) * 32 - 2 - width
    return keys if keys <= FUSED else None


@dataclass(frozen=True, slots=True)
class SequenceChunk:
    """Tokens of one sequence that are read in one step.

    Args:
        slot: index of the sequence's slot in the cache.
        start: number of tokens of the sequence that were read before.
        input_ids, token_type_ids: T new tokens, at least one, and their types; None to read them without types.
        needs_logits: whether the logits after the last token are needed.
    """

    slot: int
    start: int
    input_ids: Sequence[int]
    token_type_ids: Sequence[int] | None
    needs_logits: bool = True


class ModelRunner:
    """Runner of a GPT-2 in evaluation mode on chunks of many sequences; see `RaggedGPT2Layers`."""

    def __init__(self, model: GPT2LMHeadModel, *, packed: bool = False) -> None:
        self.model = model
        self.hidden = RaggedGPT2Layers(model.transformer, packed=packed)
        self._head = make_product(model.lm_head, packed=packed)

    @torch.inference_mode()
    def read(self, chunks: Sequence[SequenceChunk], cache: KVCache) -> Tensor:
        """Read chunks, each of another sequence, and write their keys and values into the cache.

        The chunks all have types, or all have none.

        Returns:
            (W, V) fp32 logits after the last token of each of the W chunks with `needs_logits`.
        """
        device = self.model.device
        ids = torch.tensor([i for chunk in chunks for i in chunk.input_ids], device=device)
        types = None
        if any(chunk.token_type_ids is not None for chunk in chunks):
            types = torch.tensor([t for chunk in chunks for t in chunk.token_type_ids or ()], device=device)
        sizes = [len(chunk.input_ids) for chunk in chunks]
        ranges = [range(chunk.start, chunk.start + size) for chunk, size in zip(chunks, sizes, strict=True)]
        positions = torch.tensor([position for row in ranges for position in row], device=device)
        last = [end - 1 for end, chunk in zip(accumulate(sizes), chunks, strict=True) if chunk.needs_logits]
        attention = _Attention(chunks, cache)
        hidden = self.hidden(
            ids,
            types,
            positions,
            lambda mixed, layer, scale: attention(mixed, cache.tensor[layer], scale),
            wanted=None if len(last) == len(ids) else torch.tensor(last, dtype=torch.long, device=device),
        )
        return self.logits(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the fp32 logits (B, V) of hidden states (B, D)."""
        return self._head(apply_layer_norm(self.model.transformer.ln_f, hidden)).float()


class _Attention:
    """Attention of the chunks of one step, the same in every layer.

    Each sequence attends separately, over as many tokens as it has read. On a CPU, neither padding to the longest nor
    gathering all keys and values in one tensor is faster: reading them from memory takes most of the time.

    On a CPU each token attends separately too (`_TokenGroup`), so that its state is the same, bit for bit, however a
    context was split into chunks and whichever other sequences are read. A product of several queries is faster, but
    sums in an order that depends on their number; it is used on other devices.
    """

    def __init__(self, chunks: Sequence[SequenceChunk], cache: KVCache) -> None:
        device = cache.device
        width = cache.tensor.shape[-1]
        ends = [0, *accumulate(len(chunk.input_ids) for chunk in chunks)]
        exact = device.type == "cpu" and cache.tensor.dtype == torch.float32
        self._blocks = [
            (chunk.slot, chunk.start, ends[n], ends[n + 1], _mask(chunk.start, len(chunk.input_ids), device))
            for n, chunk in enumerate(chunks)
            if len(chunk.input_ids) > 1 and not exact
        ]
        single = [n for n, chunk in enumerate(chunks) if exact or len(chunk.input_ids) == 1]
        self._groups = [group for n in single for group in _group_tokens(chunks[n], width if exact else None)]
        tokens = [token for n in single for token in range(ends[n], ends[n + 1])]
        self._tokens = torch.tensor(tokens, dtype=torch.long, device=device) if self._blocks else None
        targets = [(group.slot, position) for group in self._groups for position in range(group.start, group.stop)]
        self._slots, self._positions = torch.tensor(targets, dtype=torch.long, device=device).view(-1, 2).unbind(1)

    def __call__(self, mixed: Tensor, cached: Tensor, scale: float) -> Tensor:
        """Return the attention output (N, D) of all tokens.

        Args:
            mixed: (N, 3 D) queries, keys and values of all tokens.
            cached: (2, R, H, P, D / H) one layer's keys and values; the new ones are written into it.
            scale: factor of the attention scores.
        """
        _, _, heads, _, width = cached.shape
        split = mixed.view(-1, 3, heads, width)
        if len(split) == 1:
            [group] = self._groups
            cached[:, group.slot, :, group.start] = split[0, 1:]
            return group.attend(split[:, 0], cached, scale).view(1, -1)
        if self._tokens is None:
            return self._attend_singly(split, cached, scale).flatten(1)
        output = mixed.new_empty(len(mixed), heads, width)
        if self._groups:
            output[self._tokens] = self._attend_singly(split[self._tokens], cached, scale)
        for slot, start, first, stop, mask in self._blocks:
            end = start + stop - first
            new = split[first:stop].permute(1, 2, 0, 3)
            cached[:, slot, :, start:end] = new[1:]
            keys, values = cached[:, slot, None, :, :end]
            attended = functional.scaled_dot_product_attention(new[:1], keys, values, attn_mask=mask, scale=scale)
            output[first:stop] = attended[0].transpose(0, 1)
        return output.flatten(1)

    def _attend_singly(self, new: Tensor, cached: Tensor, scale: float) -> Tensor:
        """Return the attention output (S, H, D / H) of S tokens from their (S, 3, H, D / H)."""
        cached[:, self._slots, :, self._positions] = new[:, 1:]  # indices first: (S, 2, H, D / H)
        queries = new[:, 0]
        size = new[0, 0].numel()
        if size % ALIGNED:  # each query begins at a multiple of 64 bytes, as keys do
            queries = functional.pad(queries.flatten(1), (0, -size % ALIGNED))[:, :size].unflatten(1, new.shape[2:])
        parts = queries.split([group.stop - group.start for group in self._groups])
        attended = [group.attend(query, cached, scale) for group, query in zip(self._groups, parts, strict=True)]
        return torch.cat(attended)[:, :, 0]


@dataclass(frozen=True, slots=True)
class _TokenGroup:
    """Tokens from position `start` to `stop` of one sequence that attend separately, each over the same number of keys.

    `mask` (T, 1, 1, keys) is added to the scores; it is None for a token that reads exactly the keys up to its own.
    """

    slot: int
    start: int
    stop: int
    keys: int
    mask: Tensor | None

    def attend(self, queries: Tensor, cached: Tensor, scale: float) -> Tensor:
        """Return the attention output (T, H, 1, D / H) of (T, H, D / H) queries."""
        count = len(queries)
        if count * queries.shape[1] == 1:
            # A single sum would be shared among the threads that happen to be free, so it is computed twice.
            queries = queries.expand(2, -1, -1)
        keys, values = cached[:, self.slot, None, :, : self.keys].expand(-1, len(queries), -1, -1, -1).unbind()
        attend = functional.scaled_dot_product_attention
        return attend(queries[:, :, None], keys, values, attn_mask=self.mask, scale=scale)[:count]


def _group_tokens(chunk: SequenceChunk, width: int | None) -> Iterator[_TokenGroup]:
    """Yield the tokens of a chunk, grouped by the number of keys that they read.

    Beyond `FUSED` keys each token has a call of its own, whose threads always divide its heads in the same way. The
    width of an attention head is None if each token reads exactly the keys up to its own.
    """
    position = chunk.start
    end = chunk.start + len(chunk.input_ids)
    while position < end:
        keys = None if width is None else num_keys(position, width)
        if keys is None:
            yield _TokenGroup(chunk.slot, position, position + 1, position + 1, None)
            position += 1
        else:
            stop = min(end, keys)
            yield _TokenGroup(chunk.slot, position, stop, keys, _causal_bias()[position:stop, None, None, :keys])
            position = stop


@cache
def _causal_bias() -> Tensor:
    """Return (FUSED, FUSED) values to add to scores: 0 for a token's visible keys, -inf for later ones."""
    return torch.full((FUSED, FUSED), float("-inf")).triu(1)


def _mask(start: int, size: int, device: torch.device) -> Tensor:
    """Return the causal mask (T, start + T) of `size` = T new tokens after `start` tokens."""
    return torch.ones(size, start + size, dtype=torch.bool, device=device).tril(start)

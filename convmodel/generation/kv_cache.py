"""Key-value cache of the engine: its tensors, and which tokens each of its slots has read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import GPT2LMHeadModel

from convmodel.generation.request import GenerationRequest, RequestState
from convmodel.generation.sampler import SequenceSampler

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
        self.tensor = torch.zeros(
            (config.n_layer, 2, slots, config.n_head, positions, width),
            dtype=model.dtype,
            device=model.device,
        )
        """(n_layer, 2, R, H, P, D / H): keys, then values, of R slots. P is above n_positions."""

    @property
    def device(self) -> torch.device:
        """Device of the keys and values."""
        return self.tensor.device

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of slot `source` to slot `target`."""
        self.tensor[:, :, target, :, :length] = self.tensor[:, :, source, :, :length]


def num_keys(position: int, width: int) -> int | None:
    """Return the number of keys that the token at a position reads on a CPU; None if exactly those up to its own.

    The order of the sums in the CPU's kernel depends on the number of keys, and on the alignment of a thread's working
    memory, which takes keys + 2 + width values for up to `FUSED` keys. If these are a multiple of 32, every thread's
    memory is aligned, and the sums of a token do not depend on the thread that computes them.

    Args:
        position: position of the token.
        width: width of an attention head.
    """
    keys = math.ceil((position + 3 + width) / 32) * 32 - 2 - width
    return keys if keys <= FUSED else None


@dataclass(eq=False)
class CacheSlot:
    """A slot of the cache: the tokens that it holds, the tokens to read next, and the request that it serves.

    Args:
        index: index of the slot in the cache.
        ids: token ids that were read.
        types: token types that were read.
        pending_ids: token ids to read.
        pending_types: token types to read.
        last_used: engine step in which the slot last read a token.
        state: the request that runs in the slot; None while the slot is idle.
        sampler: sampler of that request.
    """

    index: int
    ids: list[int] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    pending_ids: list[int] = field(default_factory=list)
    pending_types: list[int] = field(default_factory=list)
    last_used: int = 0
    state: RequestState | None = None
    sampler: SequenceSampler | None = None

    @property
    def replying(self) -> bool:
        """Whether the context was read and tokens of the reply are being generated."""
        return self.state is not None and bool(self.state.tokens)

    def shared_length(self, request: GenerationRequest) -> int:
        """Return the number of leading tokens that a request can reuse; its last token is always read anew."""
        limit = min(len(self.ids), len(request.input_ids) - 1)
        return min(_common_length(self.ids, request.input_ids, limit), _common_length(self.types, request.types, limit))

    def future_shared_length(self, request: GenerationRequest) -> int:
        """Like `shared_length`, counting this slot's pending tokens as already cached."""
        future = CacheSlot(self.index, self.ids + self.pending_ids, self.types + self.pending_types)
        return future.shared_length(request)


def _common_length(first: Sequence[int], second: Sequence[int], limit: int, step: int = 64) -> int:
    """Return the number of leading elements in common, up to `limit`; compares slices of `step` elements for speed."""
    for start in range(0, limit, step):
        stop = min(start + step, limit)
        if list(first[start:stop]) != list(second[start:stop]):
            return next(index for index in range(start, stop) if first[index] != second[index])
    return limit

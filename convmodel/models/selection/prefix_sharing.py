"""Contexts and what may follow each in, a state for each of those out: a GPT-2 reads a context once for all of them.

The tokens of a context and of all its candidates lie side by side without padding, so every product takes them at once.
A candidate's token attends to the context and to its own candidate apart, and the two are put together by how much each
weighs: with sums of exponents e^a and e^b, the share of the first is sigmoid(a - b). It is the attention over both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import GPT2Model

from convmodel.generation.gpt2_layers import RaggedGPT2Layers
from convmodel.generation.linear import apply_layer_norm
from convmodel.models.selection.layout import EncoderInput

TOKENS_PER_CHUNK = 2_048
"""Tokens that are read at once: what a layer makes of them still fits into a CPU's caches, or nearly."""


def can_share(hf_model: torch.nn.Module) -> bool:
    """Whether contexts can be read once: by GPT-2 itself, not by what was made of it."""
    return type(hf_model) is GPT2Model and not hf_model.config.add_cross_attention


def shared_states(
    transformer: GPT2Model,
    contexts: Sequence[EncoderInput],
    pools: Sequence[Sequence[EncoderInput]],
    *,
    tokens: int = TOKENS_PER_CHUNK,
    recompute: bool = False,
) -> Tensor:
    """The states that reading context and candidate as one row would give at its last token.

    Args:
        transformer: reads; where it is trained, a context's dropout is the same for all its candidates.
        contexts: B rows, at least one.
        pools: for each context C rows to stand behind it, at least one.
        tokens: that are read at once, unless a context and one candidate have more.
        recompute: see `encoder.encode_in_batches`.

    Returns:
        (B, C, D)
    """
    blocks, device = RaggedGPT2Layers(transformer), transformer.device
    found: list[Tensor] = []
    order: list[int] = []
    for parts in _chunks(contexts, pools, tokens):
        chunk = _Chunk([(contexts[b], pools[b][first:stop]) for b, first, stop in parts], transformer, device)
        found.append(checkpoint(chunk.read, blocks, use_reentrant=False) if recompute else chunk.read(blocks))
        order += [b * len(pools[0]) + c for b, first, stop in parts for c in range(first, stop)]
    back = torch.from_numpy(np.argsort(order)).to(device)
    return torch.cat(found)[back].view(len(contexts), len(pools[0]), -1)


def _chunks(
    contexts: Sequence[EncoderInput], pools: Sequence[Sequence[EncoderInput]], tokens: int
) -> Iterator[list[tuple[int, int, int]]]:
    """Contexts, from short to long, each with the first and last of its candidates, as many as are read at once."""
    chunk: list[tuple[int, int, int]] = []
    used = 0
    for b in sorted(range(len(contexts)), key=lambda b: len(contexts[b])):
        first, size = 0, len(contexts[b])
        for c, row in enumerate(pools[b]):
            if used + size + len(row) > tokens and (chunk or c > first):
                if c > first:
                    chunk.append((b, first, c))
                yield chunk
                chunk, used, first, size = [], 0, c, len(contexts[b])
            size += len(row)
        chunk.append((b, first, len(pools[b])))
        used += size
    if chunk:
        yield chunk


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs of tokens that lie side by side, as the rows of a padded tensor.

    Args:
        numbers: (R, T), of the tokens; padding is the last of a run again.
        there: (R, T), false for padding; None where there is none.
        kept: (N,) where in R x T the tokens stand, run after run.
        only: where the one run lies, if there is only one.
    """

    numbers: Tensor
    there: Tensor | None
    kept: Tensor
    only: slice | None

    @classmethod
    def of(cls, starts: np.ndarray, lengths: np.ndarray, device: torch.device) -> "_Runs":
        steps = np.arange(lengths.max())
        there = steps < lengths[:, None]
        numbers = starts[:, None] + np.minimum(steps, lengths[:, None] - 1)
        kept = torch.from_numpy(np.flatnonzero(there)).to(device)
        mask = None if there.all() else torch.from_numpy(there).to(device)
        only = slice(int(starts[0]), int(starts[0] + lengths[0])) if len(starts) == 1 else None
        return cls(torch.from_numpy(numbers).to(device), mask, kept, only)

    def take(self, split: Tensor) -> tuple[Tensor, ...]:
        """(N, K, H, D / H) of all tokens in; K tensors of the runs out, each (R, H, T, D / H)."""
        taken = split[self.numbers] if self.only is None else split[None, self.only]
        return taken.permute(2, 0, 3, 1, 4).unbind()

    def give(self, found: Tensor) -> Tensor:
        """(R, H, T, ...) in, what belongs to tokens out: (N, H, ...), run after run."""
        flat = found.transpose(1, 2).flatten(0, 1)
        return flat if self.there is None else flat[self.kept]


class _Chunk:
    """Contexts with their candidates: the tokens of all contexts, then of all candidates.

    Args:
        items: contexts, each with at least one candidate.
        transformer: how it attends.
        device: where it reads.
    """

    def __init__(
        self, items: Sequence[tuple[EncoderInput, Sequence[EncoderInput]]], transformer: GPT2Model, device: torch.device
    ) -> None:
        candidates = [row for _, pool in items for row in pool]
        rows = [context for context, _ in items] + candidates
        lengths = np.array([len(row) for row in rows])
        starts = np.cumsum(lengths) - lengths
        sizes, count = np.array([len(pool) for _, pool in items]), len(items)
        behind = np.concatenate([np.zeros(count, dtype=np.int64), np.repeat(lengths[:count], sizes)])
        positions = np.arange(lengths.sum()) - np.repeat(starts - behind, lengths)
        firsts = count + np.cumsum(sizes) - sizes  # of each context's candidates among the rows
        self._ids, self._types = (
            torch.tensor([number for row in rows for number in getattr(row, name)], device=device)
            for name in ("ids", "types")
        )
        self._positions = torch.from_numpy(positions).to(device)
        self._ends = torch.from_numpy((starts + lengths - 1)[count:]).to(device)
        self._contexts = _Runs.of(starts[:count], lengths[:count], device)
        self._asking = _Runs.of(starts[firsts], np.add.reduceat(lengths, firsts), device)
        groups = np.ceil(np.log2(lengths[count:]))  # within a group, no row is filled up to more than double
        order = [count + np.flatnonzero(groups == group) for group in np.unique(groups)]
        self._own = [_Runs.of(starts[group], lengths[group], device) for group in order]
        moved = np.concatenate([run.numbers.flatten()[run.kept].cpu().numpy() for run in self._own])
        self._back = torch.from_numpy(np.argsort(moved)).to(device)
        self._heads = transformer.config.n_head
        self._transformer = transformer

    def read(self, blocks: RaggedGPT2Layers) -> Tensor:
        """(C, D), after the last layer norm, of all candidates in their order."""
        hidden = blocks(self._ids, self._types, self._positions, self._attend, wanted=self._ends)
        return apply_layer_norm(self._transformer.ln_f, hidden)

    def _attend(self, mixed: Tensor, number: int, scale: float) -> Tensor:
        """See `RaggedGPT2Layers`."""
        split = mixed.view(len(mixed), 3, self._heads, -1)
        config = self._transformer.config
        drop = config.attn_pdrop if self._transformer.training else 0.0
        queries, keys, values = self._contexts.take(split)
        read = functional.scaled_dot_product_attention(
            queries, keys, values, is_causal=True, dropout_p=drop, scale=scale
        )
        [asked] = self._asking.take(split[:, :1])
        there = None if self._contexts.there is None else self._contexts.there[:, None, None]
        seen, seen_weight = map(self._asking.give, _weighed(asked, keys, values, there, scale, drop))
        parts = []
        for run in self._own:
            queries, keys, values = run.take(split)
            causal = torch.ones(queries.shape[2], queries.shape[2], dtype=torch.bool, device=mixed.device).tril()
            parts.append([run.give(part) for part in _weighed(queries, keys, values, causal, scale, drop)])
        own, own_weight = (torch.cat(part)[self._back] for part in zip(*parts, strict=True))
        share = (seen_weight - own_weight).sigmoid().to(own.dtype)
        together = torch.lerp(own, seen, share[..., None])
        return torch.cat([self._contexts.give(read), together]).flatten(1)


def _weighed(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float, drop: float
) -> tuple[Tensor, Tensor]:
    """Attention, (..., T, D / H), and (..., T) the logarithm of its sum of exponents, in fp32."""
    scores = ((queries * scale) @ keys.transpose(-1, -2)).float()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weight = scores.logsumexp(-1)
    shares = (scores - weight[..., None]).exp()
    return functional.dropout(shares, drop, training=drop > 0).to(values.dtype) @ values, weight

"""Prefix sharing: a GPT-2 computes a context once for all its candidates.

The tokens of contexts and candidates are concatenated without padding, so that one matrix product covers all of them.
The attention of a candidate's token is computed in two parts: over the context, and over the candidate itself. The
exponentials of the attention scores sum to e^a over the context and to e^b over the candidate. With weight
sigmoid(a - b) for the first part, the combined result equals attention over both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import GPT2Model

from convmodel.generation.attention import AttentionLayer
from convmodel.generation.gpt2_layers import RaggedGPT2Layers
from convmodel.generation.products import apply_layer_norm
from convmodel.models.selection.layout import EncoderInput

TOKENS_PER_CHUNK = 2_048
"""Number of tokens computed at once, so that a layer's results fit, or nearly fit, into a CPU's caches."""


def can_share(hf_model: torch.nn.Module) -> bool:
    """Return whether a model supports prefix sharing: only GPT-2 itself, not its subclasses or cross-attention."""
    return type(hf_model) is GPT2Model and not hf_model.config.add_cross_attention


def shared_states(
    transformer: GPT2Model,
    contexts: Sequence[EncoderInput],
    pools: Sequence[Sequence[EncoderInput]],
    *,
    tokens: int = TOKENS_PER_CHUNK,
    recompute: bool = False,
) -> Tensor:
    """Return (B, C, D) hidden states, after the last layer norm, at the last token of C candidates of B contexts.

    Args:
        transformer: the GPT-2; in training mode the dropout of a context is the same for all its candidates.
        contexts: rows of B contexts, at least one.
        pools: for each context, the rows of C candidates that follow it, at least one.
        tokens: largest number of tokens computed at once, unless a context with one candidate has more.
        recompute: see `encoder.encode_in_batches`.
    """
    layers = RaggedGPT2Layers(transformer)
    states: list[Tensor] = []
    order: list[int] = []
    for parts in _chunks(contexts, pools, tokens):
        chunk = _Chunk([(contexts[b], pools[b][first:stop]) for b, first, stop in parts], transformer)
        states.append(checkpoint(chunk.forward, layers, use_reentrant=False) if recompute else chunk.forward(layers))
        order += [b * len(pools[0]) + c for b, first, stop in parts for c in range(first, stop)]
    inverse = torch.from_numpy(np.argsort(order)).to(transformer.device)
    return torch.cat(states)[inverse].view(len(contexts), len(pools[0]), -1)


def _chunks(
    contexts: Sequence[EncoderInput], pools: Sequence[Sequence[EncoderInput]], tokens: int
) -> Iterator[list[tuple[int, int, int]]]:
    """Yield chunks of at most `tokens` tokens, unless a context with one candidate has more.

    A chunk consists of triples (context, first, stop): the index of a context, and the range of its candidates. Short
    contexts are first.
    """
    chunk: list[tuple[int, int, int]] = []
    used = 0
    for b in sorted(range(len(contexts)), key=lambda b: len(contexts[b])):
        first = 0
        size = len(contexts[b])
        for c, row in enumerate(pools[b]):
            if used + size + len(row) > tokens and (chunk or c > first):
                if c > first:
                    chunk.append((b, first, c))
                yield chunk
                chunk = []
                used = 0
                first = c
                size = len(contexts[b])
            size += len(row)
        chunk.append((b, first, len(pools[b])))
        used += size
    if chunk:
        yield chunk


@dataclass(frozen=True, slots=True)
class _Runs:
    """R runs of consecutive tokens as the rows of a padded tensor.

    Args:
        indices: (R, T) token indices; padding repeats the last token of a run.
        mask: (R, T), false for padding; None if there is no padding.
        positions: (N,) positions of the tokens in the flattened R x T rows, run after run.
        single: the range of the run's tokens if there is only one run; otherwise None.
    """

    indices: Tensor
    mask: Tensor | None
    positions: Tensor
    single: slice | None

    @classmethod
    def of(cls, starts: np.ndarray, lengths: np.ndarray, device: torch.device) -> "_Runs":
        """Return runs from the index of the first token and the number of tokens of each."""
        steps = np.arange(lengths.max())
        is_token = steps < lengths[:, None]
        indices = starts[:, None] + np.minimum(steps, lengths[:, None] - 1)
        positions = torch.from_numpy(np.flatnonzero(is_token)).to(device)
        mask = None if is_token.all() else torch.from_numpy(is_token).to(device)
        single = slice(int(starts[0]), int(starts[0] + lengths[0])) if len(starts) == 1 else None
        return cls(torch.from_numpy(indices).to(device), mask, positions, single)

    def gather(self, states: Tensor) -> Tensor:
        """Gather the runs of (N, H, D / H) states of all tokens as a padded tensor (R, H, T, D / H)."""
        rows = states[self.indices] if self.single is None else states[None, self.single]
        return rows.transpose(1, 2)

    def flatten(self, padded: Tensor) -> Tensor:
        """Remove the padding of (R, H, T, ...) values: (N, H, ...) values of the tokens, run after run."""
        flat = padded.transpose(1, 2).flatten(0, 1)
        return flat if self.mask is None else flat[self.positions]


class _Chunk:
    """The tokens of some contexts, followed by the tokens of all their candidates, at least one per context."""

    def __init__(self, items: Sequence[tuple[EncoderInput, Sequence[EncoderInput]]], transformer: GPT2Model) -> None:
        device = transformer.device
        candidates = [row for _, pool in items for row in pool]
        rows = [context for context, _ in items] + candidates
        lengths = np.array([len(row) for row in rows])
        starts = np.cumsum(lengths) - lengths
        sizes = np.array([len(pool) for _, pool in items])
        count = len(items)
        offsets = np.concatenate([np.zeros(count, dtype=np.int64), np.repeat(lengths[:count], sizes)])
        positions = np.arange(lengths.sum()) - np.repeat(starts - offsets, lengths)
        firsts = count + np.cumsum(sizes) - sizes  # row index of each context's first candidate
        self._ids, self._types = (
            torch.tensor([value for row in rows for value in getattr(row, name)], device=device)
            for name in ("ids", "types")
        )
        self._positions = torch.from_numpy(positions).to(device)
        self._ends = torch.from_numpy((starts + lengths - 1)[count:]).to(device)
        self._contexts = _Runs.of(starts[:count], lengths[:count], device)
        # All candidates of a context form one run, so that their attention to the context is one operation.
        self._candidates = _Runs.of(starts[firsts], np.add.reduceat(lengths, firsts), device)
        groups = np.ceil(np.log2(lengths[count:]))  # within a group, padding at most doubles the length of a row
        order = [count + np.flatnonzero(groups == group) for group in np.unique(groups)]
        self._own = [_Runs.of(starts[group], lengths[group], device) for group in order]
        grouped = np.concatenate([runs.indices.flatten()[runs.positions].cpu().numpy() for runs in self._own])
        self._inverse = torch.from_numpy(np.argsort(grouped)).to(device)
        self._transformer = transformer

    def forward(self, layers: RaggedGPT2Layers) -> Tensor:
        """Return (C, D) hidden states, after the last layer norm, at the last tokens of all candidates, in order."""
        hidden = layers(self._ids, self._types, self._positions, self._attend, wanted=self._ends)
        return apply_layer_norm(self._transformer.ln_f, hidden)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, layer: AttentionLayer) -> Tensor:
        """Compute the attention of one layer; see `convmodel.generation.attention.Attend`."""
        config = self._transformer.config
        drop = config.attn_pdrop if self._transformer.training else 0.0
        context_queries, context_keys, context_values = map(self._contexts.gather, (queries, keys, values))
        context_states = functional.scaled_dot_product_attention(
            context_queries, context_keys, context_values, is_causal=True, dropout_p=drop, scale=layer.scale
        )
        candidate_queries = self._candidates.gather(queries)
        mask = None if self._contexts.mask is None else self._contexts.mask[:, None, None]
        to_context = _attention_and_weight(candidate_queries, context_keys, context_values, mask, layer.scale, drop)
        attended_context, context_weight = map(self._candidates.flatten, to_context)
        parts = []
        for runs in self._own:
            own_queries, own_keys, own_values = map(runs.gather, (queries, keys, values))
            size = own_queries.shape[2]
            causal = torch.ones(size, size, dtype=torch.bool, device=queries.device).tril()
            to_own = _attention_and_weight(own_queries, own_keys, own_values, causal, layer.scale, drop)
            parts.append([runs.flatten(part) for part in to_own])
        own_states, own_weight = (torch.cat(part)[self._inverse] for part in zip(*parts, strict=True))
        share = (context_weight - own_weight).sigmoid().to(own_states.dtype)
        candidate_states = torch.lerp(own_states, attended_context, share[..., None])
        return torch.cat([self._contexts.flatten(context_states), candidate_states])


def _attention_and_weight(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float, drop: float
) -> tuple[Tensor, Tensor]:
    """Return (..., T, D / H) attended values, and the (..., T) float32 logsumexp of each query's scores."""
    scores = ((queries * scale) @ keys.transpose(-1, -2)).float()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weight = scores.logsumexp(-1)
    shares = (scores - weight[..., None]).exp()
    return functional.dropout(shares, drop, training=drop > 0).to(values.dtype) @ values, weight

"""New tokens of many rows and their caches in, logits out: GPT-2 read ragged, without a single token of padding."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional
from transformers import GPT2LMHeadModel

from convmodel.generation.gpt2_layers import RaggedGPT2Layers
from convmodel.generation.linear import normalise, product

ALIGNED = 16
"""Numbers of float32 in 64 bytes."""

FUSED = 512
"""Keys that the CPU's attention kernel reads at once."""


class KVCache:
    """Keys and values of what was read, for a fixed number of rows of at most `n_positions` tokens.

    On a CPU, memory is taken as rows are first used; on a GPU, all of it at once.

    Args:
        model: whose sizes, type and device they have.
        rows: how many rows are kept at most. Each takes n_positions x n_layer x 2 x n_embd numbers.
    """

    def __init__(self, model: GPT2LMHeadModel, rows: int) -> None:
        config = model.config
        width = config.n_embd // config.n_head
        # Zeros, because what is masked is still multiplied, with 0. The place behind the last is for what nobody reads.
        # All rows and heads begin at a multiple of 64 bytes, because the sums of a CPU depend on where numbers lie.
        places = max(config.n_positions + 1, keys_read(config.n_positions - 1, width) or 0)
        places = math.ceil(places / ALIGNED) * ALIGNED
        self.kept = torch.zeros(
            (config.n_layer, 2, rows, config.n_head, places, width),
            dtype=model.dtype,
            device=model.device,
        )
        """(n_layer, 2, R, H, P, D / H): keys, then values. P is above n_positions."""

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.kept.device

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """Makes the first `length` tokens of row `target` those of row `source`."""
        self.kept[:, :, target, :, :length] = self.kept[:, :, source, :, :length]


@dataclass(frozen=True, slots=True)
class SequenceChunk:
    """Tokens that one row reads in one step.

    Args:
        row: of the cache.
        start: how many tokens the row has read before.
        input_ids: T new tokens, at least one.
        token_type_ids: their T types; None where they are read without.
        wanted: whether what comes after them is asked for.
    """

    row: int
    start: int
    input_ids: Sequence[int]
    token_type_ids: Sequence[int] | None
    wanted: bool = True


class ModelRunner:
    """Reads pieces of many rows in one pass, every product over all of their tokens at once.

    The weights are the model's own modules: whatever type, device or replaced layer they have is used.

    Args:
        model: in evaluation mode.
        packed: as in `products.product`.
    """

    def __init__(self, model: GPT2LMHeadModel, *, packed: bool = False) -> None:
        self.model = model
        self.hidden = RaggedGPT2Layers(model.transformer, packed=packed)
        """Ids, types, positions and how they attend in, states out."""
        self._head = product(model.lm_head, packed=packed)

    @torch.inference_mode()
    def read(self, pieces: Sequence[SequenceChunk], cache: KVCache) -> Tensor:
        """Reads pieces, each of another row, and puts their keys and values into the cache.

        Args:
            pieces: all of them with types, or all without.
            cache: of all rows.

        Returns:
            (W, V) the logits after the last token of each of the W pieces where they are wanted, in fp32.
        """
        device = self.model.device
        ids = torch.tensor([i for piece in pieces for i in piece.input_ids], device=device)
        types = None
        if any(piece.token_type_ids is not None for piece in pieces):
            types = torch.tensor([t for piece in pieces for t in piece.token_type_ids or ()], device=device)
        sizes = [len(piece.input_ids) for piece in pieces]
        places = [range(piece.start, piece.start + size) for piece, size in zip(pieces, sizes, strict=True)]
        positions = torch.tensor([place for row in places for place in row], device=device)
        last = [end - 1 for end, piece in zip(accumulate(sizes), pieces, strict=True) if piece.wanted]
        attention = _Attention(pieces, cache)
        hidden = self.hidden(
            ids,
            types,
            positions,
            lambda mixed, layer, scale: attention(mixed, cache.kept[layer], scale),
            wanted=None if len(last) == len(ids) else torch.tensor(last, dtype=torch.long, device=device),
        )
        return self.logits(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, D) states in, (B, V) logits in fp32 out."""
        return self._head(normalise(self.model.transformer.ln_f, hidden)).float()


class _Attention:
    """How the pieces of one step attend, the same in every layer.

    Each row attends by itself, over as much as it has read. Neither padding rows to the longest nor copying their keys
    and values together is quicker on a CPU: reading them is what takes time.

    On a CPU each token attends by itself too (`_TokenGroup`), so that its state is the same, bit for bit, however a context
    was cut into pieces and whoever else is replied to. A product of several queries is quicker, and sums in an order
    that depends on their number; it is for other devices.

    Args:
        pieces: whose tokens stand one after the other.
        cache: what they attend to, and where they are written.
    """

    def __init__(self, pieces: Sequence[SequenceChunk], cache: KVCache) -> None:
        device, width = cache.device, cache.kept.shape[-1]
        ends = [0, *accumulate(len(piece.input_ids) for piece in pieces)]
        apart = device.type == "cpu" and cache.kept.dtype == torch.float32
        self._several = [
            (piece.row, piece.start, ends[n], ends[n + 1], _mask(piece.start, len(piece.input_ids), device))
            for n, piece in enumerate(pieces)
            if len(piece.input_ids) > 1 and not apart
        ]
        single = [n for n, piece in enumerate(pieces) if apart or len(piece.input_ids) == 1]
        self._alone = [part for n in single for part in _group_tokens(pieces[n], width if apart else None)]
        tokens = [token for n in single for token in range(ends[n], ends[n + 1])]
        self._tokens = torch.tensor(tokens, dtype=torch.long, device=device) if self._several else None
        places = [(part.row, place) for part in self._alone for place in range(part.start, part.stop)]
        self._rows, self._places = torch.tensor(places, dtype=torch.long, device=device).view(-1, 2).unbind(1)

    def __call__(self, mixed: Tensor, kept: Tensor, scale: float) -> Tensor:
        """(N, 3 D) queries, keys and values of all tokens in, (N, D) out.

        kept: (2, R, H, P, D / H), one layer's keys and values; the new ones are written into it.
        """
        _, _, heads, _, width = kept.shape
        split = mixed.view(-1, 3, heads, width)
        if len(split) == 1:
            [part] = self._alone
            kept[:, part.row, :, part.start] = split[0, 1:]
            return part.attend(split[:, 0], kept, scale).view(1, -1)
        if self._tokens is None:
            return self._singles(split, kept, scale).flatten(1)
        found = mixed.new_empty(len(mixed), heads, width)
        if self._alone:
            found[self._tokens] = self._singles(split[self._tokens], kept, scale)
        for row, start, first, stop, mask in self._several:
            end = start + stop - first
            new = split[first:stop].permute(1, 2, 0, 3)
            kept[:, row, :, start:end] = new[1:]
            keys, values = kept[:, row, None, :, :end]
            attended = functional.scaled_dot_product_attention(new[:1], keys, values, attn_mask=mask, scale=scale)
            found[first:stop] = attended[0].transpose(0, 1)
        return found.flatten(1)

    def _singles(self, new: Tensor, kept: Tensor, scale: float) -> Tensor:
        """(S, 3, H, D / H) of tokens that attend each by itself in, (S, H, D / H) out."""
        kept[:, self._rows, :, self._places] = new[:, 1:]  # indices first: (S, 2, H, D / H)
        queries, size = new[:, 0], new[0, 0].numel()
        if size % ALIGNED:  # each query begins at a multiple of 64 bytes, as keys do
            queries = functional.pad(queries.flatten(1), (0, -size % ALIGNED))[:, :size].unflatten(1, new.shape[2:])
        parts = queries.split([part.stop - part.start for part in self._alone])
        read = [part.attend(query, kept, scale) for part, query in zip(self._alone, parts, strict=True)]
        return torch.cat(read)[:, :, 0]


@dataclass(frozen=True, slots=True)
class _TokenGroup:
    """Tokens of one row that attend each by itself, over the same number of keys.

    Args:
        row: of the cache.
        start, stop: their places in it.
        keys: how many keys they read; see `keys_read`.
        mask: (T, 1, 1, keys), added to the scores; None for a token that reads what is there and no more.
    """

    row: int
    start: int
    stop: int
    keys: int
    mask: Tensor | None

    def attend(self, queries: Tensor, kept: Tensor, scale: float) -> Tensor:
        """(T, H, D / H) queries in, (T, H, 1, D / H) out; `kept` as in `_Attention`."""
        count = len(queries)
        twice = count * queries.shape[1] == 1  # a single sum would be shared among threads as they happen to be free
        keys, values = kept[:, self.row, None, :, : self.keys].expand(-1, 2 if twice else count, -1, -1, -1).unbind()
        attend = functional.scaled_dot_product_attention
        read = attend(queries[:, :, None].expand_as(keys[:, :, :1]), keys, values, attn_mask=self.mask, scale=scale)
        return read[:count]


def keys_read(place: int, width: int) -> int | None:
    """The number of keys that the token at a place reads on a CPU; None where it reads all up to its own and no more.

    How the CPU's kernel sums depends on the number of keys, and on where its working memory for a thread begins. That
    takes keys + 2 + width numbers for up to `FUSED` keys. Where these are a multiple of 32, every thread's memory is
    aligned, and a token's sums do not depend on which thread computes them.
    """
    keys = math.ceil((place + 3 + width) / 32) * 32 - 2 - width
    return keys if keys <= FUSED else None


def _group_tokens(piece: SequenceChunk, width: int | None) -> Iterator[_TokenGroup]:
    """A piece's tokens, those together that read equally many keys; `width` of a head, None where all read their own.

    Beyond `FUSED` keys each token has a call of its own, whose threads always share its heads alike.
    """
    place, end = piece.start, piece.start + len(piece.input_ids)
    while place < end:
        keys = None if width is None else keys_read(place, width)
        if keys is None:
            yield _TokenGroup(piece.row, place, place + 1, place + 1, None)
            place += 1
        else:
            stop = min(end, keys)
            yield _TokenGroup(piece.row, place, stop, keys, _later()[place:stop, None, None, :keys])
            place = stop


@cache
def _later() -> Tensor:
    """(FUSED, FUSED): 0 for the keys that a token sees, -inf for later ones."""
    return torch.full((FUSED, FUSED), float("-inf")).triu(1)


def _mask(start: int, size: int, device: torch.device) -> Tensor:
    """What T new tokens may see of the row, (T, start + T)."""
    return torch.ones(size, start + size, dtype=torch.bool, device=device).tril(start)

"""New tokens of many rows and their caches in, logits out: GPT-2 read ragged, without a single token of padding."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers import GPT2LMHeadModel

from convmodel.generation.blocks import Blocks
from convmodel.generation.products import normalise, product

GATHERED_NUMBERS = 1 << 16
"""Keys of a row, up to which copying them together is quicker than attending row by row."""


class KeyValues:
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
        self.kept = torch.zeros(
            (config.n_layer, 2, rows, config.n_head, config.n_positions + 1, width),
            dtype=model.dtype,
            device=model.device,
        )
        """(n_layer, 2, R, H, n_positions + 1, D / H): keys, then values."""

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.kept.device

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """Makes the first `length` tokens of row `target` those of row `source`."""
        self.kept[:, :, target, :, :length] = self.kept[:, :, source, :, :length]


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens that one row reads in one step.

    Args:
        row: of the cache.
        start: how many tokens the row has read before.
        input_ids: T new tokens, at least one.
        token_type_ids: their T types; None where they are read without.
    """

    row: int
    start: int
    input_ids: Sequence[int]
    token_type_ids: Sequence[int] | None


class Network:
    """Reads pieces of many rows in one pass, every product over all of their tokens at once.

    The weights are the model's own modules: whatever type, device or replaced layer they have is used.

    Args:
        model: in evaluation mode.
        packed: as in `products.product`.
    """

    def __init__(self, model: GPT2LMHeadModel, *, packed: bool = False) -> None:
        self.model = model
        self.hidden = Blocks(model.transformer, packed=packed)
        """Ids, types, positions and how they attend in, states out."""
        self._head = product(model.lm_head, packed=packed)

    @torch.inference_mode()
    def read(self, pieces: Sequence[Piece], cache: KeyValues) -> Tensor:
        """Reads pieces, each of another row, and puts their keys and values into the cache.

        Args:
            pieces: all of them with types, or all without.
            cache: of all rows.

        Returns:
            (B, V) the logits after the last token of each of the B pieces, in fp32.
        """
        device = self.model.device
        ids = torch.tensor([i for piece in pieces for i in piece.input_ids], device=device)
        types = None
        if any(piece.token_type_ids is not None for piece in pieces):
            types = torch.tensor([t for piece in pieces for t in piece.token_type_ids or ()], device=device)
        sizes = [len(piece.input_ids) for piece in pieces]
        places = [range(piece.start, piece.start + size) for piece, size in zip(pieces, sizes, strict=True)]
        positions = torch.tensor([place for row in places for place in row], device=device)
        attention = _Attention(pieces, cache)
        hidden = self.hidden(
            ids, types, positions, lambda mixed, layer, scale: attention(mixed, cache.kept[layer], scale)
        )
        if len(hidden) > len(pieces):
            hidden = hidden[torch.tensor(sizes, device=device).cumsum(0) - 1]
        return self.logits(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, D) states in, (B, V) logits in fp32 out."""
        return self._head(normalise(self.model.transformer.ln_f, hidden)).float()


class _Attention:
    """How the pieces of one step attend, the same in every layer.

    Rows that read one token attend together, padded to the longest and masked, where that costs less than going through
    them one by one: where their keys and values lie side by side, or are so few that they are quickly gathered.

    Args:
        pieces: whose tokens stand one after the other.
        cache: what they attend to, and where they are written.
    """

    def __init__(self, pieces: Sequence[Piece], cache: KeyValues) -> None:
        device = cache.device
        places = [0]
        for piece in pieces:
            places.append(places[-1] + len(piece.input_ids))
        single = [n for n, piece in enumerate(pieces) if len(piece.input_ids) == 1]
        longest = max((pieces[n].start + 1 for n in single), default=0)
        rows = [pieces[n].row for n in single]
        side_by_side = bool(rows) and rows == list(range(rows[0], rows[0] + len(rows)))
        _, _, _, heads, _, width = cache.kept.shape
        if len(single) < 2 or not (side_by_side or longest * heads * width < GATHERED_NUMBERS):
            single = []
        self._longest = longest
        only = len(pieces) == 1 and len(pieces[0].input_ids) == 1
        self._only = (pieces[0].row, pieces[0].start) if only else None
        self._together: slice | Tensor | None = None
        if single:
            self._tokens = torch.tensor([places[n] for n in single], device=device)
            self._rows = torch.tensor(rows, device=device)
            self._starts = torch.tensor([pieces[n].start for n in single], device=device)
            self._together = slice(rows[0], rows[0] + len(rows)) if side_by_side else self._rows
            seen = torch.arange(longest, device=device)[None] <= self._starts[:, None]
            self._seen = seen[:, None, None]
        alone = sorted(set(range(len(pieces))) - set(single))
        self._alone = [
            (piece.row, piece.start, places[n], places[n + 1], _mask(piece.start, len(piece.input_ids), device))
            for n, piece in ((n, pieces[n]) for n in alone)
        ]

    def __call__(self, mixed: Tensor, kept: Tensor, scale: float) -> Tensor:
        """(N, 3 D) queries, keys and values of all tokens in, (N, D) out.

        kept: (2, R, H, n_positions + 1, D / H), one layer's keys and values; the new ones are written into it.
        """
        _, _, heads, _, width = kept.shape
        split = mixed.view(-1, 3, heads, width)
        if self._only is not None:
            return self._one(split, kept, scale)
        found = mixed.new_empty(len(mixed), heads, width)
        attend = functional.scaled_dot_product_attention
        if self._together is not None:
            new = split[self._tokens]
            kept[:, self._rows, :, self._starts] = new[:, 1:]  # indices first: (B, 2, H, D / H)
            keys, values = kept[:, self._together, :, : self._longest]
            read = attend(new[:, 0, :, None], keys, values, attn_mask=self._seen, scale=scale)
            found[self._tokens] = read[:, :, 0]
        for row, start, first, stop, mask in self._alone:
            end = start + stop - first
            new = split[first:stop].permute(1, 2, 0, 3)
            kept[:, row, :, start:end] = new[1:]
            keys, values = kept[:, row, None, :, :end]
            found[first:stop] = attend(new[:1], keys, values, attn_mask=mask, scale=scale)[0].transpose(0, 1)
        return found.flatten(1)

    def _one(self, split: Tensor, kept: Tensor, scale: float) -> Tensor:
        """The same for one token of one row, with as few steps as there can be: here they are what takes time."""
        assert self._only is not None
        row, start = self._only
        here = kept[:, row]
        here[:, :, start] = split[0, 1:]
        keys, values = here[:, None, :, : start + 1].unbind()
        attend = functional.scaled_dot_product_attention
        return attend(split[0, 0][None, :, None], keys, values, scale=scale).view(1, -1)


def _mask(start: int, size: int, device: torch.device) -> Tensor | None:
    """What T new tokens may see of the row, (T, start + T); None where they may see all of it."""
    if size == 1:
        return None
    return torch.ones(size, start + size, dtype=torch.bool, device=device).tril(start)

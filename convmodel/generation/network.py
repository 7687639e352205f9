"""New tokens of many rows and their caches in, logits out: GPT-2 read ragged, without a single token of padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional
from transformers import GPT2LMHeadModel

from convmodel.generation.blocks import Blocks
from convmodel.generation.products import normalise, product


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
        wanted: whether what comes after them is asked for.
    """

    row: int
    start: int
    input_ids: Sequence[int]
    token_type_ids: Sequence[int] | None
    wanted: bool = True


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

    Args:
        pieces: whose tokens stand one after the other.
        cache: what they attend to, and where they are written.
    """

    def __init__(self, pieces: Sequence[Piece], cache: KeyValues) -> None:
        device = cache.device
        places = [0, *accumulate(len(piece.input_ids) for piece in pieces)]
        single = [(place, piece) for place, piece in zip(places, pieces, strict=False) if len(piece.input_ids) == 1]
        self._single = [(piece.row, piece.start) for _, piece in single]
        self._several = [
            (piece.row, piece.start, places[n], places[n + 1], _mask(piece.start, len(piece.input_ids), device))
            for n, piece in enumerate(pieces)
            if len(piece.input_ids) > 1
        ]
        self._tokens = torch.tensor([place for place, _ in single], dtype=torch.long, device=device)
        self._rows, self._starts = torch.tensor(self._single, dtype=torch.long, device=device).view(-1, 2).unbind(1)

    def __call__(self, mixed: Tensor, kept: Tensor, scale: float) -> Tensor:
        """(N, 3 D) queries, keys and values of all tokens in, (N, D) out.

        kept: (2, R, H, n_positions + 1, D / H), one layer's keys and values; the new ones are written into it.
        """
        _, _, heads, _, width = kept.shape
        split = mixed.view(-1, 3, heads, width)
        if len(split) == 1:
            return self._one(split, kept, scale)
        found = mixed.new_empty(len(mixed), heads, width)
        attend = functional.scaled_dot_product_attention
        if self._single:
            new = split[self._tokens]
            kept[:, self._rows, :, self._starts] = new[:, 1:]  # indices first: (B, 2, H, D / H)
            keys, values = kept.unbind()
            read = [
                attend(query, keys[row, None, :, : start + 1], values[row, None, :, : start + 1], scale=scale)
                for query, (row, start) in zip(new[:, None, 0, :, None].unbind(), self._single, strict=True)
            ]
            found[self._tokens] = torch.cat(read)[:, :, 0]
        for row, start, first, stop, mask in self._several:
            end = start + stop - first
            new = split[first:stop].permute(1, 2, 0, 3)
            kept[:, row, :, start:end] = new[1:]
            keys, values = kept[:, row, None, :, :end]
            found[first:stop] = attend(new[:1], keys, values, attn_mask=mask, scale=scale)[0].transpose(0, 1)
        return found.flatten(1)

    def _one(self, split: Tensor, kept: Tensor, scale: float) -> Tensor:
        """The same for one token of one row, with as few steps as there can be: here they are what takes time."""
        [(row, start)] = self._single
        here = kept[:, row]
        here[:, :, start] = split[0, 1:]
        keys, values = here[:, None, :, : start + 1].unbind()
        attend = functional.scaled_dot_product_attention
        return attend(split[0, 0][None, :, None], keys, values, scale=scale).view(1, -1)


def _mask(start: int, size: int, device: torch.device) -> Tensor:
    """What T new tokens may see of the row, (T, start + T)."""
    return torch.ones(size, start + size, dtype=torch.bool, device=device).tril(start)

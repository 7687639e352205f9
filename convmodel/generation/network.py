"""New tokens of many rows and their caches in, logits out: GPT-2 read ragged, without a single token of padding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers import GPT2LMHeadModel


class KeyValues:
    """Keys and values of what was read, for a fixed number of rows of at most `n_positions` tokens.

    Args:
        model: whose sizes, type and device they have.
        rows: how many rows are kept at most. Each takes n_positions x n_layer x 2 x n_embd numbers from its first use.
    """

    def __init__(self, model: GPT2LMHeadModel, rows: int) -> None:
        config = model.config
        self._shape = (config.n_layer, 2, config.n_head, config.n_positions, config.n_embd // config.n_head)
        self._dtype, self.device = model.dtype, model.device
        self._rows: list[Tensor | None] = [None] * rows

    def row(self, number: int) -> Tensor:
        """The keys and values of a row, (n_layer, 2, H, n_positions, D / H), for which there is memory from now on."""
        found = self._rows[number]
        if found is None:
            found = self._rows[number] = torch.empty(self._shape, dtype=self._dtype, device=self.device)
        return found

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """Makes the first `length` tokens of row `target` those of row `source`."""
        if length:
            self.row(target)[..., :length, :] = self.row(source)[..., :length, :]


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens that one row reads in one step.

    Args:
        row: of the cache.
        start: how many tokens the row has read before.
        input_ids: T new tokens, at least one.
        token_type_ids: their T types.
    """

    row: int
    start: int
    input_ids: Sequence[int]
    token_type_ids: Sequence[int]


class Network:
    """Reads pieces of many rows in one pass: every product over all tokens at once, attention row by row.

    The weights are the model's own modules: whatever type, device or replaced layer they have is used.

    Args:
        model: in evaluation mode.
    """

    def __init__(self, model: GPT2LMHeadModel) -> None:
        self.model = model
        config = model.config
        scale = (config.n_embd // config.n_head) ** -0.5 if config.scale_attn_weights else 1.0
        by_layer = config.scale_attn_by_inverse_layer_idx
        self._scales = [scale / (number + 1 if by_layer else 1) for number in range(config.n_layer)]

    @torch.inference_mode()
    def read(self, pieces: Sequence[Piece], cache: KeyValues) -> Tensor:
        """Reads pieces, each of another row, and puts their keys and values into the cache.

        Returns:
            (B, V) the logits after the last token of each of the B pieces, in fp32.
        """
        device, transformer = self.model.device, self.model.transformer
        ids = torch.tensor([i for piece in pieces for i in piece.input_ids], device=device)
        types = torch.tensor([t for piece in pieces for t in piece.token_type_ids], device=device)
        sizes = [len(piece.input_ids) for piece in pieces]
        places = [range(piece.start, piece.start + size) for piece, size in zip(pieces, sizes, strict=True)]
        positions = torch.tensor([place for row in places for place in row], device=device)
        hidden = transformer.wte(ids) + transformer.wpe(positions) + transformer.wte(types)
        masks = [_mask(piece.start, size, device) for piece, size in zip(pieces, sizes, strict=True)]
        for number, block in enumerate(cast(Iterable[Any], transformer.h)):
            mixed = block.attn.c_attn(block.ln_1(hidden)).split(sizes)
            parts = []
            for piece, part, mask in zip(pieces, mixed, masks, strict=True):
                kept = cache.row(piece.row)[number]
                parts.append(self._attend(part, kept, piece.start, mask, self._scales[number]))
            hidden = hidden + block.attn.c_proj(torch.cat(parts))
            hidden = hidden + block.mlp(block.ln_2(hidden))
        last = torch.tensor(sizes, device=device).cumsum(0) - 1
        logits: Tensor = self.model.lm_head(transformer.ln_f(hidden[last]))
        return logits.float()

    @staticmethod
    def _attend(mixed: Tensor, kept: Tensor, start: int, mask: Tensor | None, scale: float) -> Tensor:
        """Attention of T new tokens of one row: (T, 3 D) queries, keys and values in, (T, D) out.

        kept: (2, H, n_positions, D / H), the row's keys and values in this layer, written at `start`.
        """
        _, heads, _, width = kept.shape
        stop = start + len(mixed)
        new = mixed.view(-1, 3, heads, width).permute(1, 2, 0, 3)
        kept[:, :, start:stop] = new[1:]
        keys, values = kept[:, None, :, :stop]
        read = functional.scaled_dot_product_attention(new[:1], keys, values, attn_mask=mask, scale=scale)
        return read[0].transpose(0, 1).reshape(-1, heads * width)


def _mask(start: int, size: int, device: torch.device) -> Tensor | None:
    """What T new tokens may see of the row, (T, start + T); None where they may see all of it."""
    if size == 1:
        return None
    return torch.ones(size, start + size, dtype=torch.bool, device=device).tril(start)

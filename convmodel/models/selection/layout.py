"""Token ids of turns in, laid-out rows and padded batches of them out: what encoders of contexts and candidates read.

    persona sentence    turn 1        turn 2          a candidate, alone    context and candidate together
    [CLS] I  am  Ann  [SEP] Hello  [SEP] Hi  [SEP]    [CLS] Hi  [SEP]       [CLS] ... Hi  [SEP] Hi  [SEP]
      1   1  1   1      1     1      0   0    1         1   1    1            1        0    1   1    1

Separators are placed by `convmodel.tokens.conversation_layout`; the first one becomes the own first token of an
encoder that has one.
Types tell who speaks: 1 is whoever replies, its persona and its candidates, 0 the other one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convmodel.tokens.conversation_layout import lay_out_context, place_separators


@dataclass(frozen=True, slots=True)
class EncoderInput:
    """One laid-out text.

    Args:
        ids, types: of the same length T, at least 1.
        begins: of a pair, the place of the candidate's first token.
    """

    ids: list[int]
    types: list[int]
    begins: int = 0

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class EncoderBatch:
    """Rows padded on the right.

    Args:
        ids, types: (B, T).
        mask: (B, T), true where a token is no padding.
        begins: (B,), see `Row`.
    """

    ids: Tensor
    types: Tensor
    mask: Tensor
    begins: Tensor

    def to(self, device: torch.device) -> "EncoderBatch":
        """The same on a device."""
        tensors = (self.ids, self.types, self.mask, self.begins)
        return EncoderBatch(*(tensor.to(device, non_blocking=True) for tensor in tensors))


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Where the separators and types of an encoder's rows stand, and how long the rows get.

    Args:
        sep_token_id: the separator.
        first_token_id: stands in place of the first separator; None where the encoder has none, as GPT-2.
        max_context: tokens of a context at most.
        max_candidate: tokens of a candidate at most, its separators included.
    """

    sep_token_id: int
    first_token_id: int | None = None
    max_context: int = 360
    max_candidate: int = 72

    def context(self, turns: Sequence[Sequence[int]], persona: Sequence[Sequence[int]] = ()) -> EncoderInput:
        """Lays a context out; whole turns go, oldest first, until it fits. The persona stays.

        Raises:
            ValueError: when the persona leaves no room for a turn.
        """
        laid_out, _ = lay_out_context(turns, self.sep_token_id, persona=persona, max_length=self.max_context)
        replies = laid_out.token_type_ids[-1]
        return self._row(laid_out.input_ids, [int(type_id == replies) for type_id in laid_out.token_type_ids])

    def candidate(self, ids: Sequence[int]) -> EncoderInput:
        """Lays a candidate out alone; what is too long loses its end."""
        kept = place_separators([ids[: max(self.max_candidate - 2, 0)]], self.sep_token_id)
        return self._row(kept, [1] * len(kept))

    def pair(self, context: EncoderInput, candidate: Sequence[int]) -> EncoderInput:
        """Lays a candidate out behind its context."""
        kept = place_separators([candidate[: max(self.max_candidate - 2, 0)]], self.sep_token_id, leading=False)
        return EncoderInput([*context.ids, *kept], [*context.types, *[1] * len(kept)], begins=len(context))

    def _row(self, ids: list[int], types: list[int]) -> EncoderInput:
        if self.first_token_id is not None:
            ids[0] = self.first_token_id
        return EncoderInput(ids, types)


def pad_rows(rows: Sequence[EncoderInput], pad_token_id: int) -> EncoderBatch:
    """Pads at least one row on the right."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids, types = np.full(mask.shape, pad_token_id, dtype=np.int64), np.zeros(mask.shape, dtype=np.int64)
    ids[mask] = np.concatenate([row.ids for row in rows])
    types[mask] = np.concatenate([row.types for row in rows])
    begins = torch.tensor([row.begins for row in rows])
    return EncoderBatch(torch.from_numpy(ids), torch.from_numpy(types), torch.from_numpy(mask), begins)

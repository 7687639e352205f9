"""Layout of contexts, candidates and pairs as rows of an encoder, and padded batches of rows.

    persona sentence    turn 1        turn 2          a candidate, alone    context and candidate together
    [CLS] I  am  Ann  [SEP] Hello  [SEP] Hi  [SEP]    [CLS] Hi  [SEP]       [CLS] ... Hi  [SEP] Hi  [SEP]
      1   1  1   1      1     1      0   0    1         1   1    1            1        0    1   1    1

`convmodel.tokens.separator_layout` places the separators. If the encoder has a first token, such as [CLS], it replaces
the first separator. Types mark the speaker: 1 for the persona, the turns and the candidates of the speaker who replies,
0 for the turns of the other speaker.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convmodel.tokens.separator_layout import lay_out_context, place_separators


@dataclass(frozen=True, slots=True)
class EncoderInput:
    """Token ids and types of a laid-out context, candidate or pair.

    In a pair, the candidate's first token is at position `begins`.
    """

    ids: list[int]
    types: list[int]
    begins: int = 0

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class EncoderBatch:
    """Rows padded on the right: (B, T) ids and types, (B, T) mask of the tokens that are not padding, (B,) begins."""

    ids: Tensor
    types: Tensor
    mask: Tensor
    begins: Tensor

    def to(self, device: torch.device) -> "EncoderBatch":
        """Return the batch on a device."""
        tensors = (self.ids, self.types, self.mask, self.begins)
        return EncoderBatch(*(tensor.to(device, non_blocking=True) for tensor in tensors))


@dataclass(frozen=True, slots=True)
class RowLayout:
    """The layout and the largest lengths of an encoder's rows.

    Args:
        first_token_id: the token that replaces the first separator; None for an encoder without one, such as GPT-2.
        max_context, max_candidate: largest lengths in tokens, separators and prompts included.
        speaker_types: whether types mark the speaker; otherwise all types are 0.
        context_prompt: token ids that are inserted after the first token of a context.
        candidate_prompt: token ids that are inserted after the first token of a candidate by itself.
    """

    sep_token_id: int
    first_token_id: int | None = None
    max_context: int = 360
    max_candidate: int = 72
    speaker_types: bool = True
    context_prompt: tuple[int, ...] = ()
    candidate_prompt: tuple[int, ...] = ()

    def context(self, turns: Sequence[Sequence[int]], persona: Sequence[Sequence[int]] = ()) -> EncoderInput:
        """Lay out a context; the oldest turns are dropped until it fits, the persona is kept.

        Raises:
            ValueError: when the persona leaves no room for a turn.
        """
        max_length = self.max_context - len(self.context_prompt)
        laid_out, _ = lay_out_context(turns, self.sep_token_id, persona=persona, max_length=max_length)
        reply_type = laid_out.token_type_ids[-1]
        types = [int(type_id == reply_type) for type_id in laid_out.token_type_ids]
        return self._row(laid_out.input_ids, types, self.context_prompt)

    def candidate(self, ids: Sequence[int]) -> EncoderInput:
        """Lay out a candidate by itself, truncated at its end."""
        room = self.max_candidate - 2 - len(self.candidate_prompt)
        kept = place_separators([ids[: max(room, 0)]], self.sep_token_id)
        return self._row(kept, [1] * len(kept), self.candidate_prompt)

    def pair(self, context: EncoderInput, candidate: Sequence[int]) -> EncoderInput:
        """Lay out a candidate, truncated at its end, after its context as one row."""
        kept = place_separators([candidate[: max(self.max_candidate - 2, 0)]], self.sep_token_id, leading=False)
        types = [int(self.speaker_types)] * len(kept)
        return EncoderInput([*context.ids, *kept], [*context.types, *types], begins=len(context))

    def _row(self, ids: list[int], types: list[int], prompt: tuple[int, ...]) -> EncoderInput:
        first = ids[0] if self.first_token_id is None else self.first_token_id
        types = [*types[:1], *types[:1] * len(prompt), *types[1:]]
        return EncoderInput([first, *prompt, *ids[1:]], types if self.speaker_types else [0] * len(types))


def pad_rows(rows: Sequence[EncoderInput], pad_token_id: int) -> EncoderBatch:
    """Return a batch of rows, at least one, padded on the right to the length of the longest."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad_token_id, dtype=np.int64)
    types = np.zeros(mask.shape, dtype=np.int64)
    ids[mask] = np.concatenate([row.ids for row in rows])
    types[mask] = np.concatenate([row.types for row in rows])
    begins = torch.tensor([row.begins for row in rows])
    return EncoderBatch(torch.from_numpy(ids), torch.from_numpy(types), torch.from_numpy(mask), begins)

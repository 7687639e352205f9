"""Greedy continuations of prefixes of a batch, for sequence-level unlikelihood training."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from convmodel.generation.causal_lm import compute_logits, context_window, hidden_states
from convmodel.models.text_generation import eval_mode
from convmodel.tokens.batching import Batch
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.training.unlikelihood import repeated_ngrams


@dataclass
class SequenceUnlikelihood:
    """Options of sequence-level unlikelihood training. Source: arXiv:1908.04319, section 5.2.

    In a share of the optimiser steps, the model continues prefixes of the batch greedily. The loss of such a step
    lowers the probability of the tokens of repeated n-grams in the continuations; it has no other part.

    Args:
        share: Share of optimiser steps that use the sequence-level loss; 0.0 disables it. The paper fine-tunes a
            trained model with 0.5.
        ngram: Length, in tokens, of the n-grams whose repetition is penalised.
        prefix: Number of tokens of a prefix, without metadata or persona.
        continuation: Number of tokens that are generated after each prefix.
    """

    share: float = 0.0
    ngram: int = 4
    prefix: int = 50
    continuation: int = 100

    def check(self) -> None:
        """Raise ValueError if an option is out of range."""
        if not 0 <= self.share <= 1:
            raise ValueError(f"model.sequence_unlikelihood.share={self.share}; allowed are 0.0 to 1.0")
        for name in ("ngram", "prefix", "continuation"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.sequence_unlikelihood.{name}={getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True)
class ContinuedRows:
    """Prefixes of texts, each followed by the model's continuation.

    Args:
        input_ids: (B, T) token ids.
        token_type_ids: (B, T) token types; None for a model without them.
        written: (B, T) mask of the tokens that the model generated, up to the end of the text.
    """

    input_ids: Tensor
    token_type_ids: Tensor | None
    written: Tensor

    def candidates(self, n: int, *, end_token_ids: Sequence[int]) -> Tensor:
        """Return the (B, T) mask of generated tokens that belong to a repeated n-gram and do not end a turn."""
        repeated = repeated_ngrams(self.input_ids.masked_fill(~self.written, -1), n)
        return repeated & ~_are_ends(self.input_ids, end_token_ids)


def continue_rows(
    model: PreTrainedModel,
    batch: Batch,
    options: SequenceUnlikelihood,
    *,
    end_token_ids: Sequence[int],
    several: bool = False,
) -> ContinuedRows:
    """Continue prefixes of a batch's rows greedily and without dropout.

    Rows without a predicted token are left out. Only as many rows are continued as fit in the number of tokens of the
    batch, but at least one.

    With token types, the model continues for both speakers: the type alternates at each end token. With `several`
    speakers, the types are those of the row's own next turns; after its last turn, the types of its last two turns
    alternate. Without token types, an end token ends the text.
    """
    predicting = (batch["labels"] != IGNORED).any(1)
    ids = batch["input_ids"][predicting]
    types = batch.get("token_type_ids")
    types = None if types is None else types[predicting]
    if not len(ids):  # this process has no text to continue, and takes part in the step with an empty mask
        nothing = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
        return ContinuedRows(batch["input_ids"], batch.get("token_type_ids"), nothing)
    stops = (batch["metadata"] + options.prefix).minimum(_lengths(batch, end_token_ids))[predicting].clamp(min=1)
    total = min(context_window(model.config), int(stops.max()) + options.continuation)
    rows = slice(max(1, batch["input_ids"].numel() // total))
    continued = _allocate_rows(ids[rows], types if types is None else types[rows], total)
    positions = torch.arange(total, device=ids.device)
    is_prefix = positions < stops[rows, None]
    written = ~is_prefix & (positions < stops[rows, None] + options.continuation)
    turn_types = None
    if several and types is not None:
        lengths = _lengths(batch, end_token_ids)[predicting][rows]
        turn_types = TurnTypes(ids[rows], types[rows], lengths, end_token_ids, total)
    with eval_mode(model), torch.no_grad():
        _fill_greedily(model, continued, is_prefix, end_token_ids, turn_types)
    if types is None:
        ends = written & _are_ends(continued.input_ids, end_token_ids)
        written &= ends.cumsum(1) - ends.long() == 0
    return ContinuedRows(continued.input_ids, continued.token_type_ids, written)


def text_tokens(batch: Batch, end_token_ids: Sequence[int]) -> Tensor:
    """Return the (B, T) mask of the tokens of texts, without metadata, tokens of the layout and padding."""
    if "texts" in batch:
        return batch["texts"]
    ids = batch["input_ids"]
    positions = torch.arange(ids.shape[1], device=ids.device)
    return (positions >= batch["metadata"][:, None]) & ~_are_ends(ids, end_token_ids)


def _are_ends(ids: Tensor, end_token_ids: Sequence[int]) -> Tensor:
    return torch.isin(ids, torch.tensor(end_token_ids, dtype=ids.dtype, device=ids.device))


def _lengths(batch: Batch, end_token_ids: Sequence[int]) -> Tensor:
    """Return (B,) the length of each row up to the last token of metadata or text."""
    ids = batch["input_ids"]
    texts = batch["texts"] if "texts" in batch else ~_are_ends(ids, end_token_ids)
    return (texts * torch.arange(1, ids.shape[1] + 1, device=ids.device)).amax(1)


def _allocate_rows(ids: Tensor, types: Tensor | None, total: int) -> ContinuedRows:
    """Pad or cut rows to `total` tokens. No token is marked as generated yet."""
    ids = torch.nn.functional.pad(ids[:, :total], (0, max(0, total - ids.shape[1])))
    if types is not None:
        types = torch.nn.functional.pad(types[:, :total], (0, max(0, total - types.shape[1])))
    return ContinuedRows(ids, types, torch.zeros_like(ids, dtype=torch.bool))


class TurnTypes:
    """Token types of the next turns of rows with several speakers.

    Args:
        ids: (B, T) token ids of the rows.
        types: (B, T) token types of the rows.
        lengths: (B,) position of the end token of each row's last turn.
        end_token_ids: Tokens that end a turn.
        total: Number of positions to which the rows are continued.
    """

    def __init__(self, ids: Tensor, types: Tensor, lengths: Tensor, end_token_ids: Sequence[int], total: int) -> None:
        positions = torch.arange(ids.shape[1], device=ids.device)
        inside = positions <= lengths[:, None]
        self._numbers = (_are_ends(ids, end_token_ids) & inside).cumsum(1)
        last = self._numbers[:, -1:]
        # Padding repeats the type of the last turn's end.
        types = types.where(inside, types.gather(1, lengths.clamp(max=ids.shape[1] - 1)[:, None]))
        self._table = types.new_zeros(len(ids), int(last.max()) + total + 1).scatter_(1, self._numbers, types)
        for turn in range(2, self._table.shape[1]):
            self._table[:, turn] = self._table[:, turn - 2].where(turn > last[:, 0], self._table[:, turn])
        self._turn = torch.zeros_like(last)

    def step(self, position: int, is_prefix: Tensor, is_end: Tensor) -> Tensor:
        """Return the (B,) token types of the rows at a position; call it for increasing positions.

        Args:
            position: Position, counted from 0.
            is_prefix: (B,) mask of the rows whose prefix includes the position.
            is_end: (B,) 1 for rows that have an end token here, where a new turn begins; ignored inside a prefix.
        """
        own = self._numbers[:, min(position, self._numbers.shape[1] - 1)]
        self._turn = own.where(is_prefix, self._turn[:, 0] + is_end)[:, None]
        return self._table.gather(1, self._turn)[:, 0]


def _fill_greedily(
    model: PreTrainedModel,
    rows: ContinuedRows,
    is_prefix: Tensor,
    end_token_ids: Sequence[int],
    turn_types: TurnTypes | None,
) -> None:
    """Replace the tokens after each prefix by the model's most probable tokens, in place.

    One position of all rows is generated at a time, so that rows need no left padding. A row keeps its own tokens
    within its prefix.
    """
    ids = rows.input_ids
    types = rows.token_type_ids
    cache = DynamicCache()
    num_read = 0
    first = int(is_prefix.sum(1).min())
    if turn_types is not None:
        turn_types.step(first - 1, is_prefix[:, first - 1], torch.zeros_like(ids[:, 0]))
    for position in range(first, ids.shape[1]):
        new = slice(num_read, position)
        state = hidden_states(model, ids[:, new], None if types is None else types[:, new], cache=cache)
        token = compute_logits(model, state[:, -1]).argmax(-1)
        num_read = position
        ids[:, position] = torch.where(is_prefix[:, position], ids[:, position], token)
        if types is not None:
            previous = types[:, position - 1]
            ends = _are_ends(token, end_token_ids)
            if turn_types is not None:
                next_type = turn_types.step(position, is_prefix[:, position], ends.long())
            else:
                next_type = torch.where(ends, (previous == 0).long(), previous)
            types[:, position] = torch.where(is_prefix[:, position], types[:, position], next_type)

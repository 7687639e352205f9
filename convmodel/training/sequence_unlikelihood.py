"""Greedy continuations of a batch's prefixes, for sequence-level unlikelihood training."""

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

    In a share of the optimiser steps the model continues prefixes of the batch greedily, and the probability of each
    token of an n-gram that it repeats within a continuation is lowered. Such a step learns nothing else.

    Args:
        share: Share of optimiser steps that are sequence-level; 0.5 in the paper, which fine-tunes a trained model. 0.0
            disables them.
        ngram: Length, in tokens, of the n-grams that count as a repetition.
        prefix: Tokens of a text that the model continues; its metadata or persona is not counted.
        continuation: Tokens generated per text.
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
    """Prefixes of texts together with the model's continuations: token ids and types (B, T), types None without them.

    `written` is the mask (B, T) of the tokens that the model generated up to the end of the text.
    """

    input_ids: Tensor
    token_type_ids: Tensor | None
    written: Tensor

    def candidates(self, n: int, *, end_token_ids: Sequence[int]) -> Tensor:
        """Return (B, T) the mask of generated tokens that belong to a repeated n-gram; never one that ends a turn."""
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
    """Continue the prefixes of a batch's rows with a predicted token, greedily and without dropout.

    The number of rows is limited so that their continuations fit in the token count of the batch, but is at least one.
    Token types alternate at each end token, as in conversations: the model continues for both speakers. With `several`
    speakers, they are those of the row's own next turns, and after its end those of the last two in turn. Without token
    types, an end token ends the text.
    """
    predicting = (batch["labels"] != IGNORED).any(1)
    ids = batch["input_ids"][predicting]
    types = batch.get("token_type_ids")
    types = None if types is None else types[predicting]
    if not len(ids):  # a process with an empty share takes part in the step, and contributes nothing
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
    """Return (B, T) the mask of the tokens of texts: neither metadata, nor those of the layout, nor padding."""
    if "texts" in batch:
        return batch["texts"]
    ids = batch["input_ids"]
    positions = torch.arange(ids.shape[1], device=ids.device)
    return (positions >= batch["metadata"][:, None]) & ~_are_ends(ids, end_token_ids)


def _are_ends(ids: Tensor, end_token_ids: Sequence[int]) -> Tensor:
    return torch.isin(ids, torch.tensor(end_token_ids, dtype=ids.dtype, device=ids.device))


def _lengths(batch: Batch, end_token_ids: Sequence[int]) -> Tensor:
    """Return (B,) the length of each row up to the last token of its metadata and text."""
    ids = batch["input_ids"]
    texts = batch["texts"] if "texts" in batch else ~_are_ends(ids, end_token_ids)
    return (texts * torch.arange(1, ids.shape[1] + 1, device=ids.device)).amax(1)


def _allocate_rows(ids: Tensor, types: Tensor | None, total: int) -> ContinuedRows:
    """Pad or cut rows to `total` tokens, with no token marked as generated."""
    ids = torch.nn.functional.pad(ids[:, :total], (0, max(0, total - ids.shape[1])))
    if types is not None:
        types = torch.nn.functional.pad(types[:, :total], (0, max(0, total - types.shape[1])))
    return ContinuedRows(ids, types, torch.zeros_like(ids, dtype=torch.bool))


class TurnTypes:
    """Token types of the next turns of rows with several speakers.

    Args:
        ids, types: (B, T) the rows.
        lengths: (B,) position of the end token of each row's last turn.
        total: number of positions to which the rows are continued.
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
        """Return (B,) the types at a position; `is_end` says for rows after their prefix whether a turn begins."""
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
    """Replace, in place, the tokens after each prefix by the likeliest ones.

    Rows are read column by column, so that none needs left padding; within its prefix a row keeps its own tokens.
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

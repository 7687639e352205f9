"""Rows of a batch in, what the model itself writes after their beginnings out: what sequence-level training reads."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, GPT2LMHeadModel

from convmodel.models.text_generation import evaluating
from convmodel.tokens.batching import Batch
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.training.unlikelihood import repeats


@dataclass
class SequenceUnlikelihood:
    """Unlearns what a model repeats in texts that it writes itself. Source: arXiv:1908.04319, section 5.2.

    In some optimiser steps the model goes on from beginnings of the batch, likeliest token by likeliest token; each
    token of an n-gram that came before in the same continuation is made unlikelier. Such steps learn nothing else.

    Args:
        share: The share of optimiser steps in which the model goes on from beginnings of the batch and unlearns what it
            repeats; 0.5 in the paper, where a trained model is fine-tuned, 0.0 is off.
        ngram: Tokens that make a repetition when they stood in the same continuation before.
        prefix: Tokens of a text that the model goes on from, its metadata or persona not counted.
        continuation: Tokens that it writes.
    """

    share: float = 0.0
    ngram: int = 4
    prefix: int = 50
    continuation: int = 100

    def check(self) -> None:
        """Raises a ValueError for values that mean nothing."""
        if not 0 <= self.share <= 1:
            raise ValueError(f"model.sequence_unlikelihood.share={self.share}; allowed are 0.0 to 1.0")
        for name in ("ngram", "prefix", "continuation"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.sequence_unlikelihood.{name}={getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True)
class Continued:
    """Beginnings of texts with what the model wrote after them.

    Args:
        input_ids: (B, T).
        token_type_ids: (B, T), or None.
        written: (B, T) which tokens the model wrote, before the text was over.
    """

    input_ids: Tensor
    token_type_ids: Tensor | None
    written: Tensor

    def candidates(self, n: int, *, sep_token_id: int) -> Tensor:
        """(B, T) which tokens are part of an n-gram that came before in what was written. A separator never is."""
        found = repeats(self.input_ids.masked_fill(~self.written, -1), n)
        return found & (self.input_ids != sep_token_id)


def continue_rows(
    model: GPT2LMHeadModel, batch: Batch, options: SequenceUnlikelihood, *, sep_token_id: int
) -> Continued:
    """Lets a model go on from the beginnings of a batch's rows, greedily and without dropout.

    As many rows are read as their continuations fit in the tokens of the batch, at least one. Where there are types,
    they alternate at each separator, as they do in conversations: the model goes on as both speakers. Where there are
    none, a separator ends the text.

    Args:
        model: what goes on.
        batch: laid-out rows; those that predict nothing are left out where others are.
        options: how long beginnings and continuations are.
        sep_token_id: the separator, which is also the padding.
    """
    predicting = (batch["labels"] != IGNORED).any(1)
    ids, types = batch["input_ids"][predicting], batch.get("token_type_ids")
    types = None if types is None else types[predicting]
    if not len(ids):  # a process whose share is empty takes part in the step, and adds nothing
        nothing = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
        return Continued(batch["input_ids"], batch.get("token_type_ids"), nothing)
    stops = (batch["metadata"][predicting] + options.prefix).minimum(_lengths(ids, sep_token_id)).clamp(min=1)
    total = min(int(model.config.n_positions), int(stops.max()) + options.continuation)
    rows = slice(max(1, batch["input_ids"].numel() // total))
    found = _room_for(ids[rows], types if types is None else types[rows], total, sep_token_id)
    places = torch.arange(total, device=ids.device)
    given = places < stops[rows, None]
    mine = ~given & (places < stops[rows, None] + options.continuation)
    with evaluating(model), torch.no_grad():
        _write(model, found, given, sep_token_id)
    if types is None:
        ends = mine & (found.input_ids == sep_token_id)
        mine &= ends.cumsum(1) - ends.long() == 0
    return Continued(found.input_ids, found.token_type_ids, mine)


def _lengths(input_ids: Tensor, sep_token_id: int) -> Tensor:
    """(B,) tokens of each row up to the last that is neither a separator nor padding."""
    places = torch.arange(1, input_ids.shape[1] + 1, device=input_ids.device)
    return ((input_ids != sep_token_id) * places).amax(1)


def _room_for(ids: Tensor, types: Tensor | None, total: int, sep_token_id: int) -> Continued:
    """Rows of `total` tokens that begin as the given ones; nothing of them is written yet."""
    ids = torch.nn.functional.pad(ids[:, :total], (0, max(0, total - ids.shape[1])), value=sep_token_id)
    if types is not None:
        types = torch.nn.functional.pad(types[:, :total], (0, max(0, total - types.shape[1])))
    return Continued(ids, types, torch.zeros_like(ids, dtype=torch.bool))


def _write(model: GPT2LMHeadModel, rows: Continued, given: Tensor, sep_token_id: int) -> None:
    """Fills up, in place, what is not given.

    All rows are read column by column, so that none of them needs padding; where a row's own token is given, that one
    stands in place of the likeliest.
    """
    ids, types = rows.input_ids, rows.token_type_ids
    cache, read = DynamicCache(), 0
    for place in range(int(given.sum(1).min()), ids.shape[1]):
        state = model.transformer(
            input_ids=ids[:, read:place],
            token_type_ids=None if types is None else types[:, read:place],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        token, read = model.lm_head(state[:, -1]).argmax(-1), place
        ids[:, place] = torch.where(given[:, place], ids[:, place], token)
        if types is not None:
            kind = torch.where(token == sep_token_id, 1 - types[:, place - 1], types[:, place - 1])
            types[:, place] = torch.where(given[:, place], types[:, place], kind)

"""A model and conversations in, the log-likelihood of every turn out: the numbers of the trainer's `test`."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm
from transformers import GPT2LMHeadModel

from convmodel.data.conversation import Conversation
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.linear_cross_entropy import token_losses
from convmodel.tokens.batching import Batch, TokenBudgetSampler, pad
from convmodel.tokens.conversation_layout import IGNORED, TrainOn
from convmodel.tokens.conversation_windows import WindowSet
from convmodel.tokens.store import TokenStore

Row = tuple[int, float, int, int, int]
"""Turn, nats, tokens, words, characters."""


@dataclass(frozen=True)
class Likelihoods:
    """What a model makes of the predicted turns of one conversation, each list in their order.

    Args:
        conversation: its number in the file, from 1.
        turns: the numbers of the turns, from 1.
        nats: minus the log-likelihood of each turn and of its end.
        tokens: predicted tokens, the separator that ends the turn included.
        words: words between white space.
        characters: all characters of the turn.
    """

    conversation: int
    turns: list[int]
    nats: list[float]
    tokens: list[int]
    words: list[int]
    characters: list[int]


def likelihoods(
    model: ConversationModel,
    conversations: Sequence[Conversation],
    *,
    predict: TrainOn = "all",
    tokens_per_batch: int = 4096,
) -> list[Likelihoods]:
    """Reads each conversation in windows as training does, so that each turn is predicted exactly once.

    Args:
        model: measured in evaluation mode, in the type that its weights have.
        conversations: what is read.
        predict: which turns.
        tokens_per_batch: tokens that are read at once at most, padding included.

    Raises:
        ValueError: when a persona leaves no room for a turn, there is no turn to predict, or the model is broken.
    """
    found: list[list[Row]] = [[] for _ in conversations]
    sep = model.tokenizer.sep_token_id
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows deletes no file that is mapped
        store = TokenStore.build(conversations, model.tokenizer, Path(folder) / "tokens")
        windows = WindowSet(store, sep_token_id=sep, max_length=model.n_positions, train_on=predict)
        _check(windows, predict, model.n_positions)
        sampler = TokenBudgetSampler(windows.lengths, tokens_per_batch=tokens_per_batch, shuffle=False)
        for numbers in tqdm(sampler.epoch(0), desc="Perplexity", unit=" batches", disable=None, leave=False):
            sums = iter(_turn_sums(model, windows, numbers))
            for number in numbers:
                conversation, turns = windows.predicted(number)
                for turn in turns:
                    found[conversation].append(_row(turn, conversations[conversation].turns[turn], *next(sums)))
    # Windows come from short to long; those of one conversation overlap in context, never in what they predict.
    return [_columns(number, sorted(rows)) for number, rows in enumerate(found, 1)]


@torch.inference_mode()
def _turn_sums(model: ConversationModel, windows: WindowSet, numbers: np.ndarray) -> list[tuple[float, int]]:
    """Nats and tokens of each turn that these windows predict, in their order."""
    sep, network = model.tokenizer.sep_token_id, model.hf_model
    states, wanted = predicting(network, pad(windows.read(numbers), pad_token_id=sep))
    losses = token_losses(states, network.lm_head.weight, wanted).cpu().double().numpy()
    check_finite(losses, "a turn")
    ends = (wanted == sep).cpu().numpy()  # no text becomes a separator: each one ends a turn
    turn = np.cumsum(ends) - ends
    nats, tokens = np.bincount(turn, weights=losses), np.bincount(turn)
    return list(zip(nats.tolist(), tokens.tolist(), strict=True))


def predicting(network: GPT2LMHeadModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """(N, D) the states that predict the labels of a batch, row by row, and (N,) these labels."""
    batch = {name: values.to(network.device) for name, values in batch.items()}
    wanted = batch["labels"][:, 1:]
    chosen = wanted != IGNORED
    hidden = network.transformer(
        input_ids=batch["input_ids"], token_type_ids=batch.get("token_type_ids"), use_cache=False
    ).last_hidden_state
    return hidden[:, :-1][chosen], wanted[chosen]


def check_finite(losses: np.ndarray, what: str) -> None:
    """Raises ValueError when the model finds something to have no likelihood."""
    if not np.isfinite(losses).all():
        raise ValueError(f"the model finds {what} to have no finite likelihood: there are nan or inf among its weights")


def _check(windows: WindowSet, predict: TrainOn, n_positions: int) -> None:
    if dropped := windows.counts.dropped:
        raise ValueError(
            f"conversation {dropped[0] + 1} has a persona that leaves no room for a turn in {n_positions} tokens; "
            "shorten or remove it"
        )
    if not len(windows):
        raise ValueError(f"there is no turn to predict with perplexity_on={predict}; choose other turns, such as all")


def _row(turn: int, text: str, nats: float, tokens: int) -> Row:
    return turn + 1, nats, tokens, len(text.split()), len(text)


def _columns(conversation: int, rows: Sequence[Row]) -> Likelihoods:
    turns, nats, tokens, words, characters = ([row[place] for row in rows] for place in range(5))
    return Likelihoods(conversation, turns, nats, tokens, words, characters)  # type: ignore[arg-type]

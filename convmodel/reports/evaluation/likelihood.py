"""Log-likelihood of every turn of conversations, the same numbers as those of the trainer's `test`."""

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
"""Index of a turn from 1, nats, tokens, words, characters."""


@dataclass(frozen=True)
class Likelihoods:
    """The predicted turns of one conversation; each list has one entry per turn.

    Args:
        conversation: index of the conversation in the file, from 1.
        turns: indices of the turns, from 1.
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
    """Read each conversation in windows as training does, so that each turn is predicted exactly once.

    Args:
        model: measured in evaluation mode, in the number type of its weights.
        conversations: the conversations to read.
        predict: the turns to predict.
        tokens_per_batch: maximum tokens of a batch, padding included.

    Raises:
        ValueError: when a persona leaves no room for a turn, there is no turn to predict, or the losses are not finite.
    """
    rows: list[list[Row]] = [[] for _ in conversations]
    sep = model.tokenizer.sep_token_id
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows cannot delete a mapped file
        store = TokenStore.build(conversations, model.tokenizer, Path(folder) / "tokens")
        windows = WindowSet(store, sep_token_id=sep, max_length=model.n_positions, train_on=predict)
        _check_windows(windows, predict, model.n_positions)
        sampler = TokenBudgetSampler(windows.lengths, tokens_per_batch=tokens_per_batch, shuffle=False)
        for batch in tqdm(sampler.epoch(0), desc="Perplexity", unit=" batches", disable=None, leave=False):
            sums = iter(_turn_sums(model, windows, batch))
            for window in batch:
                conversation, turns = windows.predicted(window)
                for turn in turns:
                    text = conversations[conversation].turns[turn]
                    nats, tokens = next(sums)
                    rows[conversation].append((turn + 1, nats, tokens, len(text.split()), len(text)))
    # Windows come from short to long. Those of one conversation overlap in context, never in the predicted turns.
    return [_by_column(index, sorted(of_conversation)) for index, of_conversation in enumerate(rows, 1)]


@torch.inference_mode()
def _turn_sums(model: ConversationModel, windows: WindowSet, indices: np.ndarray) -> list[tuple[float, int]]:
    """Return nats and tokens of each turn that these windows predict, in order."""
    sep = model.tokenizer.sep_token_id
    network = model.hf_model
    states, labels = predicted_states(network, pad(windows.read(indices), pad_token_id=sep))
    losses = token_losses(states, network.lm_head.weight, labels).cpu().double().numpy()
    check_finite(losses, "a turn")
    ends = (labels == sep).cpu().numpy()  # no text is encoded as a separator, so each separator ends a turn
    turn = np.cumsum(ends) - ends
    nats = np.bincount(turn, weights=losses)
    return list(zip(nats.tolist(), np.bincount(turn).tolist(), strict=True))


def predicted_states(network: GPT2LMHeadModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return (N, D) the hidden states that predict the labels of a batch, row by row, and (N,) these labels."""
    batch = {name: values.to(network.device) for name, values in batch.items()}
    labels = batch["labels"][:, 1:]
    predicted = labels != IGNORED
    hidden = network.transformer(
        input_ids=batch["input_ids"], token_type_ids=batch.get("token_type_ids"), use_cache=False
    ).last_hidden_state
    return hidden[:, :-1][predicted], labels[predicted]


def check_finite(losses: np.ndarray, noun: str) -> None:
    """Raise ValueError unless all losses of texts called `noun` are finite."""
    if not np.isfinite(losses).all():
        raise ValueError(f"the model finds {noun} to have no finite likelihood: there are nan or inf among its weights")


def _check_windows(windows: WindowSet, predict: TrainOn, n_positions: int) -> None:
    if dropped := windows.counts.dropped:
        raise ValueError(
            f"conversation {dropped[0] + 1} has a persona that leaves no room for a turn in {n_positions} tokens; "
            "shorten or remove it"
        )
    if not len(windows):
        raise ValueError(f"there is no turn to predict with perplexity_on={predict}; choose other turns, such as all")


def _by_column(conversation: int, rows: Sequence[Row]) -> Likelihoods:
    turns, nats, tokens, words, characters = ([row[column] for row in rows] for column in range(5))
    return Likelihoods(conversation, turns, nats, tokens, words, characters)  # type: ignore[arg-type]

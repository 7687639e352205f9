"""Log-likelihood of turns, as in the trainer's `test`, and of documents, and statistics of predicted tokens."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from convmodel.data.conversation import Conversation
from convmodel.data.document import Document
from convmodel.data.sides import make_sides
from convmodel.generation.causal_lm import compute_logits, embedding_rows, hidden_states
from convmodel.metrics.repetition import in_last_n
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.document_model import DocumentModel
from convmodel.models.linear_cross_entropy import token_losses, token_losses_and_argmax
from convmodel.tokens.batching import Batch, TokenBudgetSampler, pad, pad_values
from convmodel.tokens.conversation_layout import IGNORED, label_counts
from convmodel.tokens.conversation_windows import WindowSet
from convmodel.tokens.document_windows import DocumentWindows, StoredDocuments, document_segments
from convmodel.tokens.store import TokenStore
from convmodel.tokens.turn_windows import TrainOn

LOOKBACK = 128
"""Number of preceding tokens in which a repetition counts: the l of rep/l. Source: arXiv:1908.04319, section 6."""


@dataclass(frozen=True)
class Likelihoods:
    """Likelihoods of the predicted turns of one conversation. Each list has one entry per turn.

    Args:
        conversation: index of the conversation in the file, from 1.
        turns: indices of the turns in the conversation, from 1.
        nats: negative log-likelihood of each turn, including the token that ends it.
        tokens: number of predicted tokens, including the one that ends the turn.
        words: number of words separated by white space.
        characters: number of characters.
    """

    conversation: int
    turns: list[int]
    nats: list[float]
    tokens: list[int]
    words: list[int]
    characters: list[int]


@dataclass(frozen=True)
class NextTokenStats:
    """Statistics of a model's predictions of the tokens of one document.

    Args:
        document: index of the document in the file, from 1.
        nats: negative log-likelihood of the body, including the separator that ends it.
        tokens: number of predicted tokens: those of the body, and the separator.
        words: number of words of the body, separated by white space.
        bytes: length of the body in UTF-8.
        right: number of tokens for which the most probable token is the gold token.
        again: number of tokens for which the most probable token is one of the `LOOKBACK` preceding tokens.
        wrongly_again: number of tokens for which the most probable token is one of these, but not the gold token.
        gold_again: number of tokens for which the gold token is one of these.
    """

    document: int
    nats: float
    tokens: int
    words: int
    bytes: int
    right: int
    again: int
    wrongly_again: int
    gold_again: int


def likelihoods(
    model: ConversationModel,
    conversations: Sequence[Conversation],
    *,
    predict: TrainOn = "all",
    tokens_per_batch: int = 4096,
) -> list[Likelihoods]:
    """Return the likelihoods of the turns of conversations.

    Conversations are read in windows as in training, so that each turn is predicted exactly once.

    Args:
        model: the model, in evaluation mode.
        conversations: the conversations to read.
        predict: the turns to predict.
        tokens_per_batch: maximum number of tokens of a batch, padding included.

    Raises:
        ValueError: if a persona leaves no room for a turn, there is no turn to predict, or a loss is not finite.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows cannot delete a mapped file
        store = TokenStore.build(conversations, model.tokenizer, Path(folder) / "tokens")
        windows = WindowSet(store, layout=model.tokenizer.layout, max_length=model.n_positions, train_on=predict)
        _check_windows(windows, predict, model.n_positions)
        # Batches are sorted by length of windows. Windows of one conversation share context, but no predicted turns.
        sums: dict[tuple[int, int], tuple[float, int]] = {}
        for batch in _batches(windows.lengths, tokens_per_batch):
            predicted = [(index, turn) for index, turns in map(windows.predicted, batch) for turn in turns]
            sums.update(zip(predicted, _turn_sums(model, windows, batch), strict=True))
    named = model.tokenizer.layout.max_speakers > 2
    said = [conversation.turns if named else sides_said(conversation) for conversation in conversations]
    return by_conversation(said, sums)


def by_conversation(
    said: Sequence[Sequence[str]], sums: Mapping[tuple[int, int], tuple[float, int]]
) -> list[Likelihoods]:
    """Return the likelihoods of each conversation.

    Args:
        said: texts of the turns of each conversation.
        sums: nats and number of tokens of each predicted turn, by the indices of conversation and turn, from 0.
    """
    read = [Likelihoods(index, [], [], [], [], []) for index in range(1, len(said) + 1)]
    for (index, turn), (nats, tokens) in sorted(sums.items()):
        text = said[index][turn]
        read[index].turns.append(turn + 1)
        read[index].nats.append(nats)
        read[index].tokens.append(tokens)
        read[index].words.append(len(text.split()))
        read[index].characters.append(len(text))
    return read


def sides_said(conversation: Conversation) -> Sequence[str]:
    """Return the texts of a conversation's turns, read as two sides, without the names of speakers."""
    names = conversation.speakers
    if names is None:
        return conversation.turns
    return [side.said for side in make_sides(conversation.turns, names, names[-1])]


def nothing_to_predict(predict: TrainOn) -> str:
    """Return the error message for conversations without a turn to predict."""
    return f"there is no turn to predict with perplexity_on={predict}; choose other turns, such as all"


def _check_windows(windows: WindowSet, predict: TrainOn, n_positions: int) -> None:
    if dropped := windows.counts.dropped:
        raise ValueError(
            f"conversation {dropped[0] + 1} has a persona that leaves no room for a turn in {n_positions} tokens; "
            "shorten or remove it"
        )
    if not len(windows):
        raise ValueError(nothing_to_predict(predict))


@torch.inference_mode()
def _turn_sums(model: ConversationModel, windows: WindowSet, indices: np.ndarray) -> list[tuple[float, int]]:
    """Return nats and number of tokens of each turn that the windows at `indices` predict, in order."""
    rows = windows.read(indices)
    states, labels = _predicted_states(model.hf_model, pad(rows, pad_token_id=model.tokenizer.layout.pad_token_id))
    losses = checked_nats(token_losses(states, **_head(model.hf_model), labels=labels), "a turn")
    tokens = [count for row in rows for count in label_counts(row)]
    turn = np.repeat(np.arange(len(tokens)), tokens)
    return list(zip(np.bincount(turn, weights=losses).tolist(), tokens, strict=True))


def next_token_stats(
    model: DocumentModel, documents: Sequence[Document], *, overlap: int = 64, tokens_per_batch: int = 4096
) -> list[NextTokenStats]:
    """Return the statistics of a model's predictions of documents.

    Documents are read in windows as in training, so that each token is predicted exactly once.

    Args:
        model: the model, in evaluation mode.
        documents: the documents to read.
        overlap: number of body tokens that each further window of a long document repeats, at most half of the body
            tokens of a window.
        tokens_per_batch: see `likelihoods`.

    Raises:
        ValueError: if a loss is not finite.
    """
    sep = model.tokenizer.sep_token_id
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # as in `likelihoods`
        store = TokenStore.build(documents, model.tokenizer, Path(folder) / "tokens", to_segments=document_segments)
        stored = StoredDocuments(store)
        windows = DocumentWindows(stored, sep_token_id=sep, limits=model.limits(overlap))
        nats = np.zeros(len(documents))
        guesses = [np.empty(length + 1, dtype=np.int64) for length in stored.body_lengths.tolist()]
        for batch in _batches(windows.lengths, tokens_per_batch):
            losses, likeliest = _predict(model, windows, batch)
            counts = (windows.stop - windows.predict_from + windows.ends)[batch]
            starts = np.cumsum(counts) - counts
            np.add.at(nats, windows.document[batch], np.add.reduceat(losses, starts))
            for window, start, count in zip(batch.tolist(), starts.tolist(), counts.tolist(), strict=True):
                first = int(windows.predict_from[window])
                guesses[windows.document[window]][first : first + count] = likeliest[start : start + count]
        bodies = (stored.body(index, 0, int(length)) for index, length in enumerate(stored.body_lengths))
        rows = zip(documents, nats.tolist(), bodies, guesses, strict=True)
        return [_statistics(index, *row, sep) for index, row in enumerate(rows, 1)]


@torch.inference_mode()
def _predict(
    model: DocumentModel, windows: DocumentWindows[StoredDocuments], indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) nats and (N,) most probable ids of the N tokens that the windows at `indices` predict, in order."""
    rows = windows.read(indices)
    batch = {
        "input_ids": pad_values([row.input_ids for row in rows], model.tokenizer.sep_token_id),
        "labels": pad_values([row.labels for row in rows], IGNORED),
    }
    states, labels = _predicted_states(model.hf_model, batch)
    losses, likeliest = token_losses_and_argmax(states, **_head(model.hf_model), labels=labels)
    return checked_nats(losses, "a document"), likeliest.cpu().numpy()


def _statistics(
    index: int, document: Document, nats: float, body: np.ndarray, guesses: np.ndarray, sep: int
) -> NextTokenStats:
    gold = np.append(body, sep)
    before = body.tolist()
    again = np.array(in_last_n(guesses.tolist(), before, LOOKBACK))
    right = guesses == gold
    return NextTokenStats(
        document=index,
        nats=nats,
        tokens=len(gold),
        words=len(document.body.split()),
        bytes=len(document.body.encode()),
        right=int(right.sum()),
        again=int(again.sum()),
        wrongly_again=int((again & ~right).sum()),
        gold_again=sum(in_last_n(gold.tolist(), before, LOOKBACK)),
    )


def _batches(lengths: np.ndarray, tokens_per_batch: int) -> Iterator[np.ndarray]:
    """Yield the indices of the windows of each batch, shortest first, with a progress bar on a terminal."""
    sampler = TokenBudgetSampler(lengths, tokens_per_batch=tokens_per_batch, shuffle=False)
    yield from tqdm(sampler.epoch(0), desc="Perplexity", unit=" batches", disable=None, leave=False)


def _predicted_states(network: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the (N, D) hidden states that predict the N labels of a batch, row by row, and the (N,) labels."""
    batch = {name: values.to(network.device) for name, values in batch.items()}
    labels = batch["labels"][:, 1:]
    predicted = labels != IGNORED
    hidden = hidden_states(network, batch["input_ids"], batch.get("token_type_ids"))
    return hidden[:, :-1][predicted], labels[predicted]


def _head(network: PreTrainedModel) -> dict[str, Any]:
    return {"head": partial(compute_logits, network), "vocab_size": embedding_rows(network)}


def checked_nats(losses: Tensor, noun: str) -> np.ndarray:
    """Return losses as an array. Raises ValueError if one is not finite; the message names the texts by `noun`."""
    nats: np.ndarray = losses.cpu().double().numpy()
    if not np.isfinite(nats).all():
        raise ValueError(f"the likelihood of {noun} is not finite: the weights of the model contain nan or inf")
    return nats

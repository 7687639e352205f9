"""Likelihood of documents, and statistics of a model's likeliest next token."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from convmodel.data.document import Document
from convmodel.metrics.repetition import in_last_n
from convmodel.models.document_model import DocumentModel
from convmodel.models.linear_cross_entropy import token_losses_and_argmax
from convmodel.reports.evaluation.likelihood import check_finite, predicted_states
from convmodel.tokens.batching import TokenBudgetSampler, pad_values
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.document_store import StoredDocuments, StoredWindows, to_segments
from convmodel.tokens.document_windows import DocumentWindows
from convmodel.tokens.store import TokenStore

LOOKBACK = 128
"""Preceding tokens among which a repetition counts: the middle of the values in arXiv:1908.04319, shown there most."""


@dataclass(frozen=True)
class NextTokenStats:
    """A model's predictions over one document. All counts are over its predicted tokens.

    Args:
        document: index of the document in the file, from 1.
        nats: minus the log-likelihood of the body and of its end.
        tokens: predicted tokens: those of the body, and the separator that ends it.
        words: words between white space.
        bytes: length of the body as UTF-8.
        right: number of times the likeliest token was the gold one.
        again: number of times the likeliest token was one of the last `LOOKBACK` tokens of the body before it.
        wrongly_again: number of times it was one of these, but not the gold one.
        gold_again: number of times the gold token was one of these.
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


def next_token_stats(
    model: DocumentModel, documents: Sequence[Document], *, overlap: int = 64, tokens_per_batch: int = 4096
) -> list[NextTokenStats]:
    """Read each document in windows as training does, so that each token is predicted exactly once.

    Args:
        model: measured in evaluation mode, in the number type of its weights.
        documents: the documents to read.
        overlap: tokens of the body that each further window of a long document repeats; at most half of its room.
        tokens_per_batch: maximum tokens of a batch, padding included.

    Raises:
        ValueError: when the model's losses are not finite.
    """
    sep = model.tokenizer.sep_token_id
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows cannot delete a mapped file
        stored = StoredDocuments(
            TokenStore.build(documents, model.tokenizer, Path(folder) / "tokens", to_segments=to_segments)
        )
        windows = StoredWindows(stored, sep_token_id=sep, limits=model.limits(overlap))
        nats = np.zeros(len(documents))
        guesses = [np.empty(length + 1, dtype=np.int64) for length in stored.body_lengths.tolist()]
        sampler = TokenBudgetSampler(windows.lengths, tokens_per_batch=tokens_per_batch, shuffle=False)
        for batch in tqdm(sampler.epoch(0), desc="Perplexity", unit=" batches", disable=None, leave=False):
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
def _predict(model: DocumentModel, windows: DocumentWindows, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) nats and (N,) likeliest ids of all tokens that these windows predict, in order."""
    rows = windows.read(indices)
    batch = {
        "input_ids": pad_values([row.input_ids for row in rows], model.tokenizer.sep_token_id),
        "labels": pad_values([row.labels for row in rows], IGNORED),
    }
    states, labels = predicted_states(model.hf_model, batch)
    losses, likeliest = token_losses_and_argmax(states, model.hf_model.lm_head.weight, labels)
    nats = losses.cpu().double().numpy()
    check_finite(nats, "a document")
    return nats, likeliest.cpu().numpy()


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

"""A model and documents in, how likely each document is and what the model took for likeliest out."""

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
from convmodel.reports.evaluation.likelihood import check_finite, predicting
from convmodel.tokens.batching import TokenBudgetSampler, padded
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.document_layout import DocumentWindows
from convmodel.tokens.document_store import StoredDocuments, StoredWindows, parts
from convmodel.tokens.store import TokenStore

LATELY = 128
"""Tokens that are looked back at: the middle of what the paper on unlikelihood looks at, which it shows most."""


@dataclass(frozen=True)
class NextTokenStats:
    """What a model makes of a document. Everything is counted over its predicted tokens.

    Args:
        document: its number in the file, from 1.
        nats: minus the log-likelihood of the body and of its end.
        tokens: predicted tokens: those of the body, and the separator that ends it.
        words: words between white space.
        bytes: of the body as UTF-8.
        right: how often the likeliest token was the one that came.
        again: how often the likeliest token was one of the last `LATELY` of the body before it.
        wrongly_again: how often it was one of these, and another one came.
        gold_again: how often the token that came was one of these.
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
    """Reads each document in windows as training does, so that each token is predicted exactly once.

    Args:
        model: measured in evaluation mode, in the type that its weights have.
        documents: what is read.
        overlap: tokens of the body that each further window of a long one repeats; no more than half of its room.
        tokens_per_batch: tokens that are read at once at most, padding included.

    Raises:
        ValueError: when the model is broken.
    """
    sep = model.tokenizer.sep_token_id
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows deletes no file that is mapped
        stored = StoredDocuments(TokenStore.build(documents, model.tokenizer, Path(folder) / "tokens", parts=parts))
        windows = StoredWindows(stored, sep_token_id=sep, limits=model.limits(overlap))
        nats = np.zeros(len(documents))
        guesses = [np.empty(length + 1, dtype=np.int64) for length in stored.body_lengths.tolist()]
        sampler = TokenBudgetSampler(windows.lengths, tokens_per_batch=tokens_per_batch, shuffle=False)
        for numbers in tqdm(sampler.epoch(0), desc="Perplexity", unit=" batches", disable=None, leave=False):
            losses, likeliest = _read(model, windows, numbers)
            counts = (windows.stop - windows.predict_from + windows.ends)[numbers]
            starts = np.cumsum(counts) - counts
            np.add.at(nats, windows.document[numbers], np.add.reduceat(losses, starts))
            for window, start, count in zip(numbers.tolist(), starts.tolist(), counts.tolist(), strict=True):
                first = int(windows.predict_from[window])
                guesses[windows.document[window]][first : first + count] = likeliest[start : start + count]
        bodies = (stored.body(number, 0, int(length)) for number, length in enumerate(stored.body_lengths))
        rows = zip(documents, nats.tolist(), bodies, guesses, strict=True)
        return [_counted(number, *row, sep) for number, row in enumerate(rows, 1)]


@torch.inference_mode()
def _read(model: DocumentModel, windows: DocumentWindows, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) nats, and (N,) likeliest ids, of all tokens that these windows predict, in their order."""
    rows = windows.read(numbers)
    batch = {
        "input_ids": padded([row.input_ids for row in rows], model.tokenizer.sep_token_id),
        "labels": padded([row.labels for row in rows], IGNORED),
    }
    states, wanted = predicting(model.hf_model, batch)
    losses, likeliest = token_losses_and_argmax(states, model.hf_model.lm_head.weight, wanted)
    found = losses.cpu().double().numpy()
    check_finite(found, "a document")
    return found, likeliest.cpu().numpy()


def _counted(
    number: int, document: Document, nats: float, body: np.ndarray, guesses: np.ndarray, sep: int
) -> NextTokenStats:
    came = np.append(body, sep)
    before = body.tolist()
    again, right = np.array(in_last_n(guesses.tolist(), before, LATELY)), guesses == came
    return NextTokenStats(
        document=number,
        nats=nats,
        tokens=len(came),
        words=len(document.body.split()),
        bytes=len(document.body.encode()),
        right=int(right.sum()),
        again=int(again.sum()),
        wrongly_again=int((again & ~right).sum()),
        gold_again=sum(in_last_n(came.tolist(), before, LATELY)),
    )

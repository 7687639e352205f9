"""Prompts and metas in, documents out: a GPT-2 with its document tokenizer."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2LMHeadModel

from convmodel.data.document import Document, meta_text
from convmodel.generation import penalties as repetition
from convmodel.generation.options import DecodingConfig, WindowBudget
from convmodel.generation.padded import ModelInput, score_rows
from convmodel.models.card import DOCUMENTS
from convmodel.models.document_inputs import DocumentModelOutput, PreparedDocument, prepare
from convmodel.models.folder import DOCUMENT_FILE, local_file
from convmodel.models.language_model import LanguageModel
from convmodel.models.text_generation import ROWS_PER_BATCH, evaluating, write
from convmodel.tokens.batching import batches_by_length
from convmodel.tokens.document_layout import DocumentWindows, EncodedDocuments, Limits
from convmodel.tokens.document_tokenizer import DocumentTokenizer

MAX_NEW_TOKENS = 512
"""Tokens of a text at most, where nobody says; never more than half of what the window has beside the longest meta."""

MAX_META_LENGTH = 64
"""Tokens of a meta at most, where a folder does not say; never more than a quarter of the window."""


def default_meta_length(n_positions: int) -> int:
    """Tokens of a meta at most where nobody says, for a window of so many."""
    return min(MAX_META_LENGTH, n_positions // 4, n_positions - 4)


VERSION = 1
"""Of the file that tells a model of documents."""

PRESETS: dict[str, dict[str, Any]] = {
    "balanced": {"do_sample": True, "temperature": 0.8, "top_k": 0, "top_p": 0.92, repetition.NO_REPEAT: 6},
    "careful": {"do_sample": True, "temperature": 0.6, "top_k": 50, "top_p": 0.85, repetition.NO_REPEAT: 6},
    "lively": {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 0.97, "min_p": 0.02},
}
"""Sets of ordinary options: `model.generate(prompt, **PRESETS["lively"])`. Why they are such: docs/documents.md."""


@dataclass(frozen=True)
class DocumentModelScores:
    """How likely a model finds B bodies; the end of each counts as a token.

    Args:
        nats: (B,) minus the log-likelihood of each body and of its end.
        tokens: (B,) predicted tokens of each, the separator that ends it included.
        words: (B,) words between white space.
        bytes: (B,) of the text as UTF-8.
    """

    nats: list[float]
    tokens: list[int]
    words: list[int]
    bytes: list[int]

    @property
    def perplexity(self) -> float:
        """For each token of all bodies."""
        return math.exp(min(sum(self.nats) / sum(self.tokens), 700))


class DocumentModel(LanguageModel[DocumentTokenizer]):
    """Writes documents with a GPT-2.

    Args:
        hf_model: the GPT-2. Its embeddings grow when the tokenizer has more tokens than they have rows.
        tokenizer: lays documents out for it.
        max_meta_length: tokens of a meta that the model reads at most; 64, but no more than a quarter of the window,
            when left out.
        max_body_length: tokens of a body that were read together in training; None is what fits the window.

    Raises:
        ValueError: when they leave no room in the window.

    Example:
        >>> model = DocumentModel.from_pretrained("model")
        >>> model.generate("Once upon a time", meta="Cats, dogs").texts[0]
        ', there was a cat.'
    """

    tokenizer_class = DocumentTokenizer
    described = DOCUMENTS

    def __init__(
        self,
        hf_model: GPT2LMHeadModel,
        tokenizer: DocumentTokenizer,
        *,
        max_meta_length: int | None = None,
        max_body_length: int | None = None,
    ) -> None:
        window = int(hf_model.config.n_positions)
        self._max_meta_length = default_meta_length(window) if max_meta_length is None else max_meta_length
        self._max_body_length = max_body_length
        if not 0 <= self._max_meta_length <= window - 4:
            raise ValueError(
                f"max_meta_length={max_meta_length}, but meta and text share a window of {window} tokens; allowed are "
                f"0 to {window - 4}"
            )
        if max_body_length is not None and max_body_length < 1:
            raise ValueError(f"max_body_length={max_body_length}; give 1 or more, or None for what fits")
        super().__init__(hf_model, tokenizer)
        setattr(self.generation_config, repetition.SAID_AGAIN, None)  # of a model that replied

    @property
    def max_meta_length(self) -> int:
        """Tokens of a meta that the model reads at most."""
        return self._max_meta_length

    @property
    def max_body_length(self) -> int | None:
        """Tokens of a body that were read together in training; None is what fits the window."""
        return self._max_body_length

    @classmethod
    def read_extra_config(cls, source: str) -> dict[str, Any]:
        """See `LanguageModel.read_extra_config`: the limits of a folder of documents, if it is one."""
        file = local_file(source, DOCUMENT_FILE)
        return {} if file is None else _limits(source, file.read_text(encoding="utf-8"))

    def _write_extra_config(self, folder: Path) -> None:
        limits = {"max_meta_length": self.max_meta_length, "max_body_length": self.max_body_length}
        (folder / DOCUMENT_FILE).write_text(json.dumps({"version": VERSION} | limits, indent=2) + "\n", "utf-8")

    @property
    def _room(self) -> WindowBudget:
        longest = self.n_positions if self._max_body_length is None else self._max_body_length
        beside = min(self.n_positions - 2 - self._max_meta_length, longest)
        usual = max(1, min(MAX_NEW_TOKENS, beside // 2))
        return WindowBudget(self.n_positions, least=2, usual=usual, most=min(self.n_positions - 2, longest))

    def decoding(self, **options: Any) -> DecodingConfig:
        """See `LanguageModel.decoding`.

        Raises:
            TypeError, ValueError: for options that mean nothing, or nothing where there are no turns.
        """
        how = super().decoding(**options)
        if getattr(how.config, repetition.SAID_AGAIN, None):
            raise ValueError(
                f"{repetition.SAID_AGAIN} looks at what was said in earlier turns, and a document has none; "
                f"use {repetition.NO_REPEAT}, which looks at the prompt and the text so far"
            )
        return how

    def generate(
        self, prompt: str = "", *, meta: Any = None, seed: int | None = None, **options: Any
    ) -> DocumentModelOutput:
        """Writes documents.

        Args:
            prompt: how they begin; may be empty. Where it does not fit, its oldest tokens are left out.
            meta: what is known of them: a string, a list, or an object (dict) of fields. Always kept, but for tokens
                beyond `max_meta_length`.
            seed: with it the same request gives the same texts, alone or in any batch. Without one, seeds come from
                torch's global generator, so that `torch.manual_seed` repeats a whole program.
            options: every option of transformers' `generate` (`max_new_tokens`, `do_sample`, `num_beams`, `top_p`,
                `num_return_sequences`, `bad_words_ids`, `stop_strings`, ...), and ours: see docs/documents.md. What is
                not given comes from `generation_config`.

        Raises:
            TypeError, ValueError: for a prompt or meta that is none or finds no room, or an option whose value means
                nothing.
        """
        return self.generate_batch([prompt], metas=[meta], seeds=None if seed is None else [seed], **options)[0]

    def generate_batch(
        self,
        prompts: Sequence[str],
        *,
        metas: Sequence[Any] | None = None,
        seeds: Sequence[int] | None = None,
        **options: Any,
    ) -> list[DocumentModelOutput]:
        """Writes many documents at once; in fp32 each is what it would be alone.

        Args:
            prompts: B prompts of any lengths.
            metas: one for each prompt, of which any may be None, or none.
            seeds: one for each prompt, or none.
            options: as for `generate`; they hold for all.

        Returns:
            B outputs in the order of `prompts`.
        """
        if isinstance(prompts, str):
            raise TypeError(f"prompts is the text {prompts[:40]!r}; put it in a list, or call generate")
        if isinstance(metas, str | Mapping):
            raise TypeError("metas is one meta; give a list with one for each prompt")
        for name, given in (("metas", metas), ("seeds", seeds)):
            if given is not None and len(given) != len(prompts):
                raise ValueError(f"{len(given)} {name} for {len(prompts)} prompts; give one each, or none")
        how, nothing = self.decoding(**options), [None] * len(prompts)
        each = zip(prompts, nothing if metas is None else metas, nothing if seeds is None else seeds, strict=True)
        prepared = [self.prepare(prompt, meta, how, seed=seed) for prompt, meta, seed in each]
        written = write(self._hf_model, self._tokenizer, [one.prepared for one in prepared])
        return [one.output(texts) for one, texts in zip(prepared, written, strict=True)]

    def prepare(
        self,
        prompt: str,
        meta: Any,
        how: DecodingConfig,
        *,
        seed: int | None = None,
        sink: Callable[[str], None] | None = None,
    ) -> PreparedDocument:
        """What is asked of the engine for a prompt; see `preparation.prepare`."""
        return prepare(
            self._tokenizer,
            prompt,
            meta,
            how,
            max_meta_length=self._max_meta_length,
            max_body_length=self._max_body_length,
            seed=seed,
            sink=sink,
        )

    @torch.inference_mode()
    def score(
        self, bodies: Sequence[str], *, metas: Sequence[Any] | None = None, overlap: int = 64
    ) -> DocumentModelScores:
        """How likely the model finds whole documents, each token of which is predicted exactly once.

        Args:
            bodies: B texts of any lengths.
            metas: one for each, of which any may be None, or none.
            overlap: tokens of the body that each further window of a long one repeats; no more than half of its room.

        Raises:
            TypeError, ValueError: for a body or meta that is none.
        """
        if isinstance(bodies, str):
            raise TypeError(f"bodies is the text {bodies[:40]!r}; put it in a list")
        if metas is not None and len(metas) != len(bodies):
            raise ValueError(f"{len(metas)} metas for {len(bodies)} bodies; give one each, or none")
        documents = [Document(body, meta) for body, meta in zip(bodies, metas or [None] * len(bodies), strict=True)]
        tokenizer, sep = self._tokenizer, self._tokenizer.sep_token_id
        encoded = EncodedDocuments(
            tokenizer.encode_many([meta_text(one.meta) for one in documents]),
            tokenizer.encode_many([one.body for one in documents]),
        )
        windows = DocumentWindows(encoded, sep_token_id=sep, limits=self.limits(overlap))
        counts = windows.stop - windows.predict_from + windows.ends
        nats, tokens = [0.0] * len(documents), [0] * len(documents)
        with evaluating(self._hf_model):
            for part in batches_by_length(windows.lengths, max_rows=ROWS_PER_BATCH):
                rows = [ModelInput(window.input_ids.tolist(), None) for window in windows.read(part)]
                found = score_rows(self._hf_model, rows, [int(counts[n]) for n in part], pad_token_id=sep)
                for n, log_likelihood in zip(part, found, strict=True):
                    nats[windows.document[n]] -= log_likelihood
                    tokens[windows.document[n]] += int(counts[n])
        return DocumentModelScores(
            nats, tokens, [len(one.body.split()) for one in documents], [len(one.body.encode()) for one in documents]
        )

    def limits(self, overlap: int) -> Limits:
        """How much of a document stands in a window.

        Args:
            overlap: tokens of the body that each further window of a long one repeats; no more than half of its room.
        """
        beside = self.n_positions - 2 - self._max_meta_length
        least = beside if self._max_body_length is None else min(beside, self._max_body_length)
        return Limits(
            max_length=self.n_positions,
            max_meta_length=self._max_meta_length,
            max_body_length=self._max_body_length,
            overlap=min(overlap, least // 2),
        )


def _limits(source: str, text: str) -> dict[str, Any]:
    """What document.json says, as options of the model."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    known = {"version": int, "max_meta_length": int, "max_body_length": int | None}
    if (
        not isinstance(found, dict)
        or set(found) != set(known)
        or any(isinstance(found[name], bool) or not isinstance(found[name], kind) for name, kind in known.items())
        or found.pop("version") != VERSION
    ):
        raise ValueError(
            f"{source}: {DOCUMENT_FILE} says {text.strip()[:200]!r}; this convmodel reads an object with "
            f'"version": {VERSION}, "max_meta_length" and "max_body_length"; save the model again'
        )
    return found

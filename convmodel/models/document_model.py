"""The document model: a language model that continues documents and computes their likelihoods, given metadata."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

from convmodel.data.document import Document, check_meta, format_meta
from convmodel.data.json_file import read_json_object
from convmodel.data.prompts import check_prompt
from convmodel.generation.causal_lm import context_window
from convmodel.generation.options import DecodingConfig, WindowBudget
from convmodel.generation.padded import ModelInput, score_rows
from convmodel.generation.penalties import NO_REPEAT, SELF_REPETITION
from convmodel.models.card import DOCUMENTS
from convmodel.models.document_inputs import DocumentInputs, DocumentModelOutput, DocumentModelScores, no_room
from convmodel.models.folder import DOCUMENT_FILE, local_file
from convmodel.models.language_model import LanguageModel, one_per_row
from convmodel.models.text_generation import ROWS_PER_BATCH, eval_mode, make_job, write
from convmodel.tokens.batching import batches_by_length
from convmodel.tokens.document_layout import DocumentLimits
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from convmodel.tokens.document_windows import DocumentWindows, EncodedDocuments

MAX_NEW_TOKENS = 512
"""Default of `max_new_tokens`. It is at most half of the part of the window that the longest meta leaves free."""


def default_meta_length(n_positions: int) -> int:
    """Return the default of `max_meta_length` for a window of `n_positions` tokens: 64, or a quarter of the window."""
    return min(64, n_positions // 4, n_positions - 4)


VERSION = 1
"""Version of the format of document.json."""

PRESETS: dict[str, dict[str, Any]] = {
    "balanced": {"do_sample": True, "temperature": 0.8, "top_k": 0, "top_p": 0.92, NO_REPEAT: 6},
    "careful": {"do_sample": True, "temperature": 0.6, "top_k": 50, "top_p": 0.85, NO_REPEAT: 6},
    "lively": {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 0.97, "min_p": 0.02},
}
"""Named sets of decoding options, as in `model.generate(prompt, **PRESETS["lively"])`; see docs/documents.md."""


class DocumentModel(LanguageModel[DocumentTokenizer]):
    """A language model that continues documents.

    Args:
        hf_model, tokenizer: see `LanguageModel`.
        max_meta_length: largest length of a document's metadata (meta) in tokens; by default 64, but at most a quarter
            of the window.
        max_body_length: largest number of tokens of a document's text (body) in one window; None for as many as fit.

    Raises:
        ValueError: when the lengths leave no room in the window.

    Example:
        >>> model = DocumentModel.from_pretrained("model")
        >>> model.generate("Once upon a time", meta="Cats, dogs").texts[0]
        ', there was a cat.'
    """

    tokenizer_class = DocumentTokenizer
    card_text = DOCUMENTS

    def __init__(
        self,
        hf_model: PreTrainedModel,
        tokenizer: DocumentTokenizer,
        *,
        max_meta_length: int | None = None,
        max_body_length: int | None = None,
    ) -> None:
        window = context_window(hf_model.config)
        self.max_meta_length = default_meta_length(window) if max_meta_length is None else max_meta_length
        self.max_body_length = max_body_length
        if not 0 <= self.max_meta_length <= window - 4:
            raise ValueError(
                f"max_meta_length={max_meta_length}, but meta and text share a window of {window} tokens; allowed are "
                f"0 to {window - 4}"
            )
        if max_body_length is not None and max_body_length < 1:
            raise ValueError(f"max_body_length={max_body_length}; give 1 or more, or None for as many as fit")
        super().__init__(hf_model, tokenizer)
        setattr(self.generation_config, SELF_REPETITION, None)  # may be saved by a conversation model

    @classmethod
    def check_config(cls, name: str, config: PretrainedConfig) -> None:
        if config.is_encoder_decoder:
            raise ValueError(
                f"{name}: holds a {config.model_type!r}, an encoder-decoder, which replies and does not continue "
                "documents; use it as a conversation model, or give a gpt2, llama or the like"
            )

    @classmethod
    def read_extra_config(cls, source: str) -> dict[str, Any]:
        """See `LanguageModel.read_extra_config`. The result is empty for a folder without document.json."""
        file = local_file(source, DOCUMENT_FILE)
        return {} if file is None else _read_limits(file)

    def _write_extra_config(self, folder: Path) -> None:
        limits = {"max_meta_length": self.max_meta_length, "max_body_length": self.max_body_length}
        (folder / DOCUMENT_FILE).write_text(json.dumps({"version": VERSION} | limits, indent=2) + "\n", "utf-8")

    @property
    def _window_budget(self) -> WindowBudget:
        window = self.n_positions
        max_body = window if self.max_body_length is None else self.max_body_length
        default = max(1, min(MAX_NEW_TOKENS, min(window - 2 - self.max_meta_length, max_body) // 2))
        return WindowBudget(window, 2, default_new_tokens=default, max_new_tokens=min(window - 2, max_body))

    def decoding(self, **options: Any) -> DecodingConfig:
        """See `LanguageModel.decoding`. Options that compare a text with earlier turns raise a ValueError."""
        decoding = super().decoding(**options)
        if getattr(decoding.config, SELF_REPETITION, None):
            raise ValueError(
                f"{SELF_REPETITION} looks at what was said in earlier turns, and a document has none; "
                f"use {NO_REPEAT}, which looks at the prompt and the text so far"
            )
        return decoding

    def generate(
        self, prompt: str = "", *, meta: Any = None, seed: int | None = None, **options: Any
    ) -> DocumentModelOutput:
        """Generate continuations of a prompt.

        Args:
            prompt: the beginning of the documents; may be empty. Its oldest tokens are dropped if it does not fit.
            meta: the metadata of the documents: a string, a list, or a dict of fields. Only tokens beyond
                `max_meta_length` are dropped.
            seed, options: as for `ConversationModel.generate`; see docs/documents.md.

        Raises:
            TypeError, ValueError: for an invalid prompt, meta or option, or a prompt or meta without room in the
                window.
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
        """Generate continuations of a batch of prompts. In float32 they do not depend on the other prompts.

        Args:
            prompts: B prompts of any lengths.
            metas: a meta or None for each prompt, or None for no metas.
            seeds: a seed for each prompt, or None for random seeds.
            options: see `generate`; they apply to all prompts.
        """
        if isinstance(prompts, str):
            raise TypeError(f"prompts is the text {prompts[:40]!r}; put it in a list, or call generate")
        if isinstance(metas, str | Mapping):
            raise TypeError("metas is one meta; give a list with one for each prompt")
        count = len(prompts)
        metas = one_per_row("metas", metas, "prompts", count, None)
        rows = zip(prompts, metas, one_per_row("seeds", seeds, "prompts", count, None), strict=True)
        decoding = self.decoding(**options)
        inputs = [self.prepare(prompt, meta, decoding, seed=seed) for prompt, meta, seed in rows]
        texts = write(self.hf_model, self.tokenizer, [document_inputs.job for document_inputs in inputs])
        return [document_inputs.output(generated) for document_inputs, generated in zip(inputs, texts, strict=True)]

    def prepare(
        self,
        prompt: str,
        meta: Any,
        decoding: DecodingConfig,
        *,
        seed: int | None = None,
        sink: Callable[[str], None] | None = None,
    ) -> DocumentInputs:
        """Lay out a prompt and its meta, and create a generation job for the continuations; for errors see `generate`.

        `sink` is called with each piece of the first text that has become final.
        """
        tokenizer = self.tokenizer
        prompt = check_prompt(prompt)
        meta = check_meta(meta)
        meta_ids, prompt_ids = tokenizer.encode_many([format_meta(meta), prompt])
        kept = meta_ids[: self.max_meta_length]
        room = decoding.context_limit - 2 - len(kept)
        if self.max_body_length is not None:
            room = min(room, self.max_body_length - (decoding.config.max_new_tokens or 1))
        if room < min(1, len(prompt_ids)):
            raise ValueError(no_room(decoding, len(kept), bool(prompt_ids), self.max_body_length))
        encoding = tokenizer.encode_ids(prompt_ids, meta=kept, room=room, meta_tokens_dropped=len(meta_ids) - len(kept))
        row = ModelInput(encoding["input_ids"], None)
        scored = decoding.num_replies > 1
        job = make_job(tokenizer, row, decoding, seed=seed, scored=scored, sink=sink, prefix_ids=prompt_ids)
        return DocumentInputs(prompt, meta, encoding, job)

    @torch.inference_mode()
    def score(
        self, bodies: Sequence[str], *, metas: Sequence[Any] | None = None, overlap: int = 64
    ) -> DocumentModelScores:
        """Return the likelihoods of complete documents, read in windows; each token is predicted exactly once.

        Args:
            bodies: B texts of any lengths.
            metas: a meta or None for each text, or None for no metas.
            overlap: see `limits`.

        Raises:
            TypeError, ValueError: for an invalid body or meta.
        """
        if isinstance(bodies, str):
            raise TypeError(f"bodies is the text {bodies[:40]!r}; put it in a list")
        metas = one_per_row("metas", metas, "bodies", len(bodies), None)
        documents = [Document(body, meta) for body, meta in zip(bodies, metas, strict=True)]
        sep = self.tokenizer.sep_token_id
        encode = self.tokenizer.encode_many
        encoded = EncodedDocuments(
            encode([format_meta(document.meta) for document in documents]),
            encode([document.body for document in documents]),
        )
        windows = DocumentWindows(encoded, sep_token_id=sep, limits=self.limits(overlap))
        counts = windows.stop - windows.predict_from + windows.ends
        nats = [0.0] * len(documents)
        tokens = [0] * len(documents)
        with eval_mode(self.hf_model):
            for batch in batches_by_length(windows.lengths, max_rows=ROWS_PER_BATCH):
                rows = [ModelInput(window.input_ids.tolist(), None) for window in windows.read(batch)]
                scores = score_rows(self.hf_model, rows, [int(counts[n]) for n in batch], pad_token_id=sep)
                for n, log_likelihood in zip(batch, scores, strict=True):
                    nats[windows.document[n]] -= log_likelihood
                    tokens[windows.document[n]] += int(counts[n])
        words = [len(document.body.split()) for document in documents]
        return DocumentModelScores(nats, tokens, words, [len(document.body.encode()) for document in documents])

    def limits(self, overlap: int) -> DocumentLimits:
        """Return the limits of a document's windows.

        `overlap` is the number of tokens that consecutive windows of a long body share. It is limited to half of the
        body tokens that a window can hold.
        """
        room = min(self.n_positions - 2 - self.max_meta_length, self.max_body_length or self.n_positions)
        return DocumentLimits(
            max_length=self.n_positions,
            max_meta_length=self.max_meta_length,
            max_body_length=self.max_body_length,
            overlap=min(overlap, room // 2),
        )


def _read_limits(file: Path) -> dict[str, Any]:
    """Read document.json as arguments of the model; raise ValueError for other contents."""
    known = {"version": (int,), "max_meta_length": (int,), "max_body_length": (int, NoneType)}
    limits = read_json_object(file, remedy="save the model again")
    is_valid = limits.keys() == known.keys() and all(type(limits[name]) in types for name, types in known.items())
    if is_valid and limits["version"] == VERSION:
        return {name: value for name, value in limits.items() if name != "version"}
    raise ValueError(
        f"{file}: contains {json.dumps(limits)[:200]}; this convmodel reads an object with "
        f'"version": {VERSION}, "max_meta_length" and "max_body_length"; save the model again'
    )

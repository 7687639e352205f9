"""LightningModule that trains a GPT-2 to write documents."""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from convmodel.data.document import Document, Meta, check_meta, format_meta
from convmodel.data.prompts import check_prompt
from convmodel.models.document_model import DocumentModel, default_meta_length
from convmodel.training.datamodules.document import DocumentDataModule
from convmodel.training.language_module import LanguageModule
from convmodel.training.perplexity import CorpusStats
from convmodel.training.samples import Sample, SampleRequest

BEGINNING = re.compile(r"\s*(?:\S+\s+){0,5}\S+")
"""First words of a document; too few to reveal its kind, so that a sample depends on the meta."""

MAX_BEGINNING = 48
"""Maximum number of characters of a beginning, for texts without spaces."""

DocumentInput = tuple[str, Meta | None]
"""A prompt, and a meta."""


class DocumentModule(LanguageModule[DocumentModel]):
    """Trains a GPT-2 to write documents that match a meta.

    The data module sets the maximum lengths of meta and body; the export saves them.

    Args:
        options: See `LanguageModule`.
    """

    model_class = DocumentModel

    @property
    def max_meta_length(self) -> int:
        """Maximum number of meta tokens, from the checkpoint or the pretrained model, or the default."""
        return int(self.extra_config.get("max_meta_length", default_meta_length(self.n_positions)))

    @property
    def max_body_length(self) -> int | None:
        """Maximum number of body tokens in a window, from the same source; None for as many as fit."""
        return self.extra_config.get("max_body_length")

    def setup(self, stage: str) -> None:
        """Take the lengths of meta and body from the data module, so that the exported model has them."""
        data = self._data
        if data is not None:
            limits = data.limits
            self._extra_config = {"max_meta_length": limits.max_meta_length, "max_body_length": limits.max_body_length}

    @property
    def _data(self) -> DocumentDataModule | None:
        data = getattr(self.trainer, "datamodule", None)
        return data if isinstance(data, DocumentDataModule) else None

    def corpus_stats(self, split: Literal["valid", "test"]) -> CorpusStats | None:
        """See `LanguageModule.corpus_stats`."""
        if self._data is None:
            return None
        windows = self._data.window_set(split)
        return CorpusStats("documents", windows.documents, {"word": windows.words, "byte": windows.bytes})

    def sample_inputs(self, request: SampleRequest) -> list[DocumentInput]:
        """See `convmodel.training.samples.SampleWriter`: prompts with metas, the last one empty."""
        if request.prompts is not None:
            return [_parse_input(number, entry) for number, entry in enumerate(request.prompts, 1)]
        documents = [] if self._data is None else islice(self._data.documents("valid"), request.count)
        return [*((_beginning(document), document.meta) for document in documents), ("", None)]

    def write_samples(
        self, inputs: Sequence[DocumentInput], *, seeds: Sequence[int], options: Mapping[str, Any]
    ) -> list[Sample]:
        """See `convmodel.training.samples.SampleWriter`: documents."""
        prompts, metas = zip(*inputs, strict=True)
        outputs = self.language_model().generate_batch(prompts, metas=metas, seeds=seeds, **options)
        samples = []
        for prompt, meta, output in zip(prompts, metas, outputs, strict=True):
            record = {"prompt": prompt, "meta": meta, "texts": output.texts}
            samples.append(Sample(_display_parts(prompt, meta), output.texts[0], record))
        return samples


def _beginning(document: Document) -> str:
    """Return the first words of a document, never more than half of it."""
    match = BEGINNING.match(document.body)
    assert match is not None, "a body is not empty"
    return match[0][: min(MAX_BEGINNING, len(document.body) // 2)]


def _parse_input(number: int, entry: Mapping[str, Any]) -> DocumentInput:
    """Parse an entry of `samples.prompts`, counted from 1.

    Raises:
        ValueError: If the entry is invalid, with its number.
    """
    try:
        unknown = entry.keys() - {"prompt", "meta"}
        if unknown:
            raise ValueError(f"{sorted(unknown)} is unknown; give prompt, meta or both")
        prompt = entry.get("prompt")
        return check_prompt("" if prompt is None else prompt), check_meta(entry.get("meta"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"samples.prompts, number {number}: {error}") from None


def _display_parts(prompt: str, meta: Meta | None) -> list[str]:
    return [f"({format_meta(meta) or 'no meta'})", *([prompt] if prompt else [])]

"""LightningModule that trains a language model to write documents."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from convmodel.data.document import Document, Meta, check_meta, format_meta
from convmodel.data.prompts import check_prompt
from convmodel.models.document_model import DocumentModel, default_meta_length
from convmodel.training.datamodules.base import ModelInputs
from convmodel.training.language_module import LanguageModule
from convmodel.training.samples import Sample, SampleRequest

BEGINNING = re.compile(r"\s*(?:\S+\s+){0,5}\S+")
"""Pattern of the first six words of a document, too few to show its subject, so that a sample depends on the meta."""

MAX_BEGINNING = 48
"""Maximum number of characters of a beginning. It limits texts without spaces."""

DocumentInput = tuple[str, Meta | None]
"""Input of a sample: the prompt, and the meta or None."""


class DocumentModule(LanguageModule[DocumentModel]):
    """Trains a language model to write documents that match a meta.

    The exported model has the maximum lengths of meta and body that the data module uses.

    Args:
        options: See `LanguageModule`.
    """

    model_class = DocumentModel
    next_step = "Let it continue prompts: python -m convmodel generate --model {folder} --input FILE --output FILE"

    @property
    def inputs(self) -> ModelInputs:
        """Maximum lengths of windows, meta and body: those of the checkpoint or the pretrained model, else defaults."""
        return ModelInputs(
            "DocumentDataModule",
            self.n_positions,
            max_meta_length=int(self.extra_config.get("max_meta_length", default_meta_length(self.n_positions))),
            max_body_length=self.extra_config.get("max_body_length"),
            default_length=self.default_length,
        )

    def use_inputs(self, inputs: ModelInputs) -> None:
        """Take the maximum lengths of meta and body from the data module, and save them in the exported model."""
        self._extra_config = {"max_meta_length": inputs.max_meta_length, "max_body_length": inputs.max_body_length}

    def sample_inputs(self, request: SampleRequest) -> list[DocumentInput]:
        """Return prompts with metas: the user's, or else the beginnings of validation documents and an empty prompt."""
        if request.prompts is not None:
            return [_parse_input(index, entry) for index, entry in enumerate(request.prompts, 1)]
        return [*((_beginning(document), document.meta) for document in request.examples), ("", None)]

    def write_samples(
        self, inputs: Sequence[DocumentInput], *, seeds: Sequence[int], options: Mapping[str, Any]
    ) -> list[Sample]:
        """Generate a document for each input."""
        prompts, metas = zip(*inputs, strict=True)
        outputs = self.language_model().generate_batch(prompts, metas=metas, seeds=seeds, **options)
        samples = []
        for prompt, meta, output in zip(prompts, metas, outputs, strict=True):
            parts = [f"({format_meta(meta) or 'no meta'})", *([prompt] if prompt else [])]
            samples.append(Sample(parts, output.texts[0], {"prompt": prompt, "meta": meta, "texts": output.texts}))
        return samples


def _beginning(document: Document) -> str:
    """Return the first words of a document, at most half of its characters."""
    match = BEGINNING.match(document.body)
    assert match is not None, "a body is not empty"
    return match[0][: min(MAX_BEGINNING, len(document.body) // 2)]


def _parse_input(index: int, entry: Mapping[str, Any]) -> DocumentInput:
    """Return the prompt and the meta of an entry of `samples.prompts`.

    Raises ValueError if the entry is invalid. The message names `index`, counted from 1.
    """
    try:
        unknown = entry.keys() - {"prompt", "meta"}
        if unknown:
            raise ValueError(f"{sorted(unknown)} is unknown; give prompt, meta or both")
        prompt = entry.get("prompt")
        return check_prompt("" if prompt is None else prompt), check_meta(entry.get("meta"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"samples.prompts, number {index}: {error}") from None

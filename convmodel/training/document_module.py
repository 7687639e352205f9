"""Batches of documents in, a trained GPT-2 out: the LightningModule of models that write documents."""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from convmodel.data.document import Document, Meta, check_meta, meta_text
from convmodel.data.prompts import check_prompt
from convmodel.models.document_model import DocumentModel, default_meta_length
from convmodel.training.datamodules.document import DocumentDataModule
from convmodel.training.language_module import LanguageModule
from convmodel.training.perplexity import CorpusStats
from convmodel.training.samples import Sample, SampleRequest

BEGINNING = re.compile(r"\s*(?:\S+\s+){0,5}\S+")
"""The first words of a document, as many as say little of its kind."""

LONGEST_BEGINNING = 48
"""Characters of it at most, for texts without spaces; never more than half of the document."""

Question = tuple[str, Meta | None]
"""How a document begins, and what is known of it."""


class DocumentModule(LanguageModule[DocumentModel]):
    """Trains a GPT-2 to write documents of the kind that their meta names.

    How much of a meta and of a body it reads is said by the data module; the exported folder tells it.
    """

    model_class = DocumentModel

    @property
    def max_meta_length(self) -> int:
        """Tokens of a meta that the checkpoint or the pretrained model reads; the usual number where neither says."""
        return int(self.extra_config.get("max_meta_length", default_meta_length(self.n_positions)))

    @property
    def max_body_length(self) -> int | None:
        """Tokens of a body that they read together; None is what fits."""
        return self.extra_config.get("max_body_length")

    def setup(self, stage: str) -> None:
        """Takes the limits of what is to be read, so that the exported model has them."""
        data = self._data
        if data is not None:
            limits = data.limits
            self._more = {"max_meta_length": limits.max_meta_length, "max_body_length": limits.max_body_length}

    @property
    def _data(self) -> DocumentDataModule | None:
        data = getattr(self.trainer, "datamodule", None)
        return data if isinstance(data, DocumentDataModule) else None

    def texts(self, split: Literal["valid", "test"]) -> CorpusStats | None:
        """See `LanguageModule.texts`."""
        if self._data is None:
            return None
        windows = self._data.window_set(split)
        return CorpusStats("documents", windows.documents, {"word": windows.words, "byte": windows.bytes})

    def asked(self, asking: SampleRequest) -> list[Question]:
        """See `convmodel.training.samples.WritesSamples`: beginnings with what is known of them, and nothing at all."""
        if asking.prompts is not None:
            return [_question(number, given) for number, given in enumerate(asking.prompts, 1)]
        first = [] if self._data is None else islice(self._data.documents("valid"), asking.number)
        return [*((_beginning(each), each.meta) for each in first), ("", None)]

    def samples(self, asked: Sequence[Question], *, seeds: Sequence[int], options: Mapping[str, Any]) -> list[Sample]:
        """See `convmodel.training.samples.WritesSamples`: documents."""
        prompts, metas = zip(*asked, strict=True)
        outputs = self.language_model().generate_batch(prompts, metas=metas, seeds=seeds, **options)
        return [
            Sample(_shown(prompt, meta), output.texts[0], {"prompt": prompt, "meta": meta, "texts": output.texts})
            for prompt, meta, output in zip(prompts, metas, outputs, strict=True)
        ]


def _beginning(document: Document) -> str:
    found = BEGINNING.match(document.body)
    assert found is not None, "a body is not empty"
    return found[0][: min(LONGEST_BEGINNING, len(document.body) // 2)]


def _question(number: int, given: Mapping[str, Any]) -> Question:
    """What a person asks for.

    Raises:
        ValueError: for what is none, with its number.
    """
    try:
        unknown = given.keys() - {"prompt", "meta"}
        if unknown:
            raise ValueError(f"{sorted(unknown)} is unknown; give prompt, meta or both")
        prompt = given.get("prompt")
        return check_prompt("" if prompt is None else prompt), check_meta(given.get("meta"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"samples.prompts, number {number}: {error}") from None


def _shown(prompt: str, meta: Meta | None) -> list[str]:
    return [f"({meta_text(meta) or 'no meta'})", *([prompt] if prompt else [])]

"""Tokenizer of a training run: chosen once for model and data, and stored in checkpoints as plain text."""

import tempfile
from pathlib import Path
from typing import Any, Protocol

from convmodel.tokens.text_tokenizer import AnyTokenizer, TextTokenizer
from convmodel.training.datamodules.base import FilesDataModule, ModelInputs


class TokenModule(Protocol):
    """Interface of a LightningModule that trains on the batches of a `FilesDataModule`."""

    tokenizer: TextTokenizer | None
    """Tokenizer of the checkpoint or the pretrained model; None if a vocabulary must be learned."""

    @property
    def tokenizer_class(self) -> type[TextTokenizer]:
        """Class of a learned tokenizer."""

    @property
    def vocab_size(self) -> int:
        """Maximum size of a learned vocabulary."""

    @property
    def vocabulary_options(self) -> dict[str, Any]:
        """Options of the tokenizer's `learn` that differ from its defaults."""

    @property
    def inputs(self) -> ModelInputs:
        """Lengths that the model reads, and the turns that it learns to predict."""

    def use_inputs(self, inputs: ModelInputs) -> None:
        """Take the lengths that the data module uses, so that they are saved with the model."""


def connect(module: TokenModule, data: FilesDataModule[Any, Any]) -> None:
    """Choose the tokenizer of a run, and pass it and the lengths of the examples to module and data module.

    The tokenizer is that of the checkpoint or the pretrained model. A model from scratch gets one that is learned from
    the training file. In Python, call this function before `Trainer.fit`, `validate` or `test`.

    Raises ValueError if a vocabulary must be learned without a training file, or if the model reads the examples of
    another data module.
    """
    if module.tokenizer is None:
        module.tokenizer = data.learn_tokenizer(module.tokenizer_class, module.vocab_size, **module.vocabulary_options)
    module.use_inputs(data.accept(module.tokenizer, module.inputs))


def tokenizer_files(tokenizer: TextTokenizer) -> dict[str, str]:
    """Return the contents of the files that `save_pretrained` writes, keyed by file name."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {file.name: file.read_text(encoding="utf-8") for file in Path(folder).iterdir()}


def tokenizer_from(files: dict[str, str], cls: type[AnyTokenizer]) -> AnyTokenizer:
    """Rebuild a tokenizer from the result of `tokenizer_files`."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        return cls.from_pretrained(folder)

"""A tokenizer in, its files as plain texts for a checkpoint out; and back."""

import tempfile
from pathlib import Path

from convmodel.tokens.text_tokenizer import AnyTokenizer, TextTokenizer


def tokenizer_files(tokenizer: TextTokenizer) -> dict[str, str]:
    """The texts of the files that `save_pretrained` writes, by name."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {file.name: file.read_text(encoding="utf-8") for file in Path(folder).iterdir()}


def tokenizer_from(files: dict[str, str], cls: type[AnyTokenizer]) -> AnyTokenizer:
    """The tokenizer again."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        return cls.from_pretrained(folder)

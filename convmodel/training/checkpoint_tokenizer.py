"""Store a tokenizer in a checkpoint as plain text, and restore it."""

import tempfile
from pathlib import Path

from convmodel.tokens.text_tokenizer import AnyTokenizer, TextTokenizer


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

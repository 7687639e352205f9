"""Loading of transformers tokenizers from folders and the Hub; a folder without a vocabulary is refused."""

import os
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from convmodel.data.json_file import COPY_AGAIN, read_json_object, refuse_lfs_pointer

CONFIG = "tokenizer_config.json"
JSON_FILES = ("config.json", CONFIG, "special_tokens_map.json", "added_tokens.json", "tokenizer.json", "vocab.json")
"""JSON files, each with one object, that transformers reads for a tokenizer if they exist."""

VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model")
"""Files that may contain a vocabulary; each architecture reads only some of them."""


TEXT_FILES = ("chat_template.jinja", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model")
"""Text files of a vocabulary; they must be UTF-8 and not empty."""


def load_tokenizer(name_or_path: str | os.PathLike[str], **options: Any) -> PreTrainedTokenizerBase:
    """Load a tokenizer by folder or Hub name; `options` are passed to AutoTokenizer, and no code of a folder is run.

    Raises:
        ValueError: when a folder holds no vocabulary, or one of its files cannot be read.
        FileNotFoundError: when the Hub has no such tokenizer or cannot be reached.
    """
    source = os.fspath(name_or_path)
    folder = Path(source)
    for name in VOCABULARIES:
        refuse_lfs_pointer(folder / name)
    for name in TEXT_FILES:
        if fault := _text_fault(folder / name):
            raise ValueError(f"{folder / name}: {fault}; {COPY_AGAIN}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
    except Exception as error:  # transformers and tokenizers raise errors of many types, Exception itself among them
        if folder.is_dir():
            raise _explain(folder, error) from error
        raise FileNotFoundError(f"{source}: its tokenizer cannot be loaded ({_first_line(error)})") from error
    if len(tokenizer) <= len({*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}):
        raise _no_vocabulary(source, list(type(tokenizer).vocab_files_names.values()))  # transformers made one up
    return tokenizer


def _explain(folder: Path, error: Exception) -> Exception:
    """Return the error of the first file that cannot be read; without one, an error with transformers' own reason."""
    for name in JSON_FILES:
        if (folder / name).exists():
            try:
                read_json_object(folder / name)
            except ValueError as damage:
                return damage
    present = [name for name in VOCABULARIES if (folder / name).is_file()]
    if present in ([], ["vocab.json"], ["merges.txt"]):
        return _no_vocabulary(str(folder), ["tokenizer.json", *(["vocab.json", "merges.txt"] if present else ())])
    options = read_json_object(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    if options.get("tokenizer_class"):
        present.append(f"tokenizer_class {str(options['tokenizer_class'])[:60]}")
    return ValueError(
        f"{folder}: its tokenizer ({', '.join(present)}) cannot be loaded: {_first_line(error)}; {_save(str(folder))}"
    )


def _text_fault(file: Path) -> str | None:
    """Return a description of the error if a text file is empty or not UTF-8; None if it is valid or missing."""
    content = file.read_bytes() if file.is_file() else b"-"
    if not content:
        return "is empty"
    try:
        content.decode() if file.suffix != ".model" else None
    except UnicodeDecodeError as error:
        return f"is not UTF-8 (byte {error.start + 1})"
    return None


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {line}" if isinstance(error, KeyError | TypeError | AttributeError) else line


def _no_vocabulary(source: str, names: list[str]) -> ValueError:
    missing = [name for name in names if not (Path(source) / name).is_file()]
    return ValueError(f"{source}: holds no vocabulary: there is no {' and no '.join(missing)}; {_save(source)}")


def _save(folder: str) -> str:
    return (
        "copy them too, or save the tokenizer of the model that it was made from (NAME), in Python: from transformers "
        f'import AutoTokenizer; AutoTokenizer.from_pretrained("NAME").save_pretrained({folder!r})'
    )

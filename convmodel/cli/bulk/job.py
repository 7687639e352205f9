"""What is to be done with a file in, how the lines for it are made out, as JSON."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from convmodel.data.reader import Reader
from convmodel.generation.seeds import derive_seed


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """A line for each of the things in a file.

    Args:
        input: the file.
        output: the file to write.
        model: what the model is called.
        format: of the input; None recognises it.
        on_error: "stop" at what cannot be read, or for which nothing can be made, or "skip" it.
        options: for what makes the lines.
        seed: from which each line's seed is made.
        concurrency: how many lines are asked for at a time.
        overwrite: start over, whatever is there.
    """

    input: str
    output: str
    model: str = ""
    format: str | None = None
    on_error: Literal["stop", "skip"] = "stop"
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    concurrency: int = 64
    overwrite: bool = False

    @abstractmethod
    def reader(self) -> Reader[Any, Any, Any]:
        """Reads the input."""

    def about(self, *, digest: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """All that decides what the lines are; and under "named" what a person may want to know beside it.

        Args:
            digest: of the model.
            options: all that are in effect.
        """
        return {
            "named": {"input": self.input, "model": self.model},
            "input": self.reader().fingerprint(),
            "model": digest,
            "options": {name: _plain(value) for name, value in sorted(options.items())},
            "seed": self.seed,
        }

    def seed_of(self, number: int) -> int:
        """The seed of a line: the same whatever runs beside it.

        Args:
            number: of the line, from 0.
        """
        return derive_seed(self.seed, number) % 2**32  # which any reader of JSON can hold


def folder_digest(name: str) -> str:
    """A digest of the files of a model's folder; of what is no folder, its name."""
    folder = Path(name)
    if not folder.is_dir():
        return name
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".safetensors", ".json", ".jinja", ".txt"):
            with open(path, "rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def files_digest(name: str) -> str:
    """A digest of a file, or of all files of a folder and the folders in it.

    Raises:
        FileNotFoundError: when there is none.
    """
    top, digest = Path(name), hashlib.blake2b(digest_size=16)
    paths = [path for path in sorted(top.rglob("*")) if path.is_file()] if top.is_dir() else [top]
    for path in paths:
        with open(path, "rb") as file:
            digest.update(str(path.relative_to(top)).encode() + hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """A value as JSON holds it."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)

"""Settings of a batch job, and digests of the models that it uses."""

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
    """A batch job, which writes an output line for each item of an input file.

    Args:
        input: input file.
        output: output file.
        model: name of the model, for a person.
        format: format of the input; None detects it.
        on_error: "stop" at an item that cannot be read or processed, or "skip" it.
        options: options of the requests.
        seed: seed from which the seed of each line is derived.
        concurrency: maximum number of requests at a time.
        overwrite: whether to start over if there is an output.
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
        """Return a reader of the input."""

    def about(self, *, digest: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return everything that determines the lines; "named" holds further names for a person.

        Args:
            digest: digest of the model.
            options: all options in effect.
        """
        return {
            "named": {"input": self.input, "model": self.model},
            "input": self.reader().fingerprint(),
            "model": digest,
            "options": {name: _to_json(value) for name, value in sorted(options.items())},
            "seed": self.seed,
        }

    def seed_of(self, index: int) -> int:
        """Return the seed of a line, which does not depend on the other lines.

        Args:
            index: index of the line, from 0.
        """
        return derive_seed(self.seed, index) % 2**32  # small enough for the numbers of any JSON parser


def folder_digest(name: str) -> str:
    """Return a digest of the files of a model's folder, or the name itself if it is not a folder."""
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
    """Return a digest of a file, or of all files below a folder.

    Raises:
        FileNotFoundError: when the path does not exist.
    """
    top = Path(name)
    digest = hashlib.blake2b(digest_size=16)
    paths = [path for path in sorted(top.rglob("*")) if path.is_file()] if top.is_dir() else [top]
    for path in paths:
        with open(path, "rb") as file:
            digest.update(str(path.relative_to(top)).encode() + hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _to_json(value: Any) -> Any:
    """Convert a value to a JSON value; the `repr` of values that JSON cannot represent."""
    if isinstance(value, list | tuple):
        return [_to_json(element) for element in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)

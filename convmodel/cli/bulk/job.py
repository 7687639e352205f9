"""Batch jobs, which write an output line for each item of an input file, and digests of the models that they use."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

from convmodel.data.reader import Reader
from convmodel.generation.request import derive_seed
from convmodel.responders.protocol import Generator, ReplyHandle

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Job(ABC, Generic[ItemT, ResultT]):
    """Settings of a batch job, and conversion of its items to requests and of the results to output lines.

    Args:
        digest: digest of the model, which a resumed run must share.
        model: name of the model, for a person.
        format: format of the input; None detects it.
        on_error: "stop" at an item that cannot be read or processed, or "skip" it.
        seed: seed from which the seed of each line is derived.
        concurrency: maximum number of requests at a time.
        overwrite: whether to start over if there is an output.
    """

    generator: Generator
    _: KW_ONLY
    input: str
    output: str
    digest: str
    model: str = ""
    format: str | None = None
    on_error: Literal["stop", "skip"] = "stop"
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    concurrency: int = 64
    overwrite: bool = False

    noun: ClassVar[str]
    """Name of an input item in errors."""

    nouns: ClassVar[tuple[str, str]]
    """Name of an output text, in singular and plural."""

    @abstractmethod
    def reader(self) -> Reader[Any, Any, Any]:
        """Return a reader of the input."""

    @abstractmethod
    def start(self, index: int, item: ItemT) -> ReplyHandle[ResultT]:
        """Start the request of an item, with its index from 0; raise ValueError if the model cannot process it."""

    @abstractmethod
    def line(self, item: ItemT, result: ResultT) -> tuple[str, bool]:
        """Return the output line of an item without its newline, and whether it contains a text."""

    @abstractmethod
    def error_line(self, item: ItemT, error: str) -> str:
        """Return the output line of an item whose request failed."""

    def about(self) -> dict[str, Any]:
        """Return everything that determines the lines; "named" holds further names for a person."""
        options = {**self.generator.options, **self.options}
        return {
            "named": {"input": self.input, "model": self.model},
            "input": self.reader().fingerprint(),
            "model": self.digest,
            "options": {name: _to_json(value) for name, value in sorted(options.items())},
            "seed": self.seed,
        }

    def seed_of(self, index: int) -> int:
        """Return the seed of a line from its index; it does not depend on the other lines."""
        return derive_seed(self.seed, index) % 2**32  # small enough for the numbers of any JSON parser


def folder_digest(name: str) -> str:
    """Return a digest of the files of a model's folder, or the name itself if it is not a folder."""
    folder = Path(name)
    if not folder.is_dir():
        return name
    suffixes = (".safetensors", ".json", ".jinja", ".txt")
    return _digest(folder, (path for path in folder.iterdir() if path.is_file() and path.suffix in suffixes))


def files_digest(name: str) -> str:
    """Return a digest of a file, or of all files below a folder. Raises FileNotFoundError for a missing path."""
    top = Path(name)
    return _digest(top, (path for path in top.rglob("*") if path.is_file()) if top.is_dir() else [top])


def _digest(top: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(paths):
        with open(path, "rb") as file:
            digest.update(str(path.relative_to(top)).encode() + hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def round_score(score: float | None) -> float | None:
    """Round a score to four digits; return None for an infinite one, which JSON cannot represent.

    More digits would depend on the other requests in the batch. The score of an empty text is infinite.
    """
    return None if score is None or not math.isfinite(score) else round(score, 4)


def _to_json(value: Any) -> Any:
    """Convert a value to a JSON value; the `repr` of values that JSON cannot represent."""
    if isinstance(value, list | tuple):
        return [_to_json(element) for element in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)

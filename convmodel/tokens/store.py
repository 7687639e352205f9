"""Conversations, examples with candidates, or documents in, their token ids on disk out: memory-mapped."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from convmodel.data.atomic import atomic_folder
from convmodel.data.conversation import Conversation
from convmodel.data.selection_example import SelectionExample
from convmodel.tokens.text_tokenizer import TextTokenizer

VERSION = 3
"""Part of every key: raised when what is written changes, so that old folders are not read."""

Stored = TypeVar("Stored")

CHUNK = 2048
"""Conversations or documents that go into the Rust tokenizer in one call, unless they are long."""

CHUNK_CHARACTERS = 2**22
"""Characters that go into it in one call, and those of one conversation or document beyond."""

Segments = tuple[Sequence[str], Sequence[str], Sequence[str]]
"""The texts of one: what is pinned before it (persona sentences, a document's meta), what it says (turns, a document's
body), and candidates of the reply, the real one first."""


@dataclass(frozen=True)
class StoreSummary:
    """What a store holds.

    Args:
        conversations: how many conversations or documents were written.
        source: one sentence about the file they came from.
    """

    conversations: int
    source: str = ""


class TokenStore:
    """Token ids of conversations or documents, memory-mapped.

    Segments are the texts of all `Segments` in order. `ends` holds where each segment's ids end, `words` and `bytes` how
    many words and UTF-8 bytes each has, `first`, `prefix_segments` and `candidates` the first segment and the numbers of
    pinned texts and candidates of each conversation.

    Args:
        folder: what `TokenStore.build` wrote.
    """

    def __init__(self, folder: Path) -> None:
        values = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        dtype = values.pop("dtype")
        self.summary = StoreSummary(**values)
        self._ids = _map(folder / "ids.bin", dtype)
        self.ends = _map(folder / "ends.bin", "int64")
        self.words = _map(folder / "words.bin", "int32")
        self.bytes = _map(folder / "bytes.bin", "int32")
        index = _map(folder / "conversations.bin", "int64").reshape(-1, 3)
        self.first = np.append(index[:, 0], len(self.ends))
        self.prefix_segments, self.candidates = index[:, 1], index[:, 2]

    def __len__(self) -> int:
        return len(self.prefix_segments)

    def segments(self, start: int, stop: int) -> list[list[int]]:
        """The ids of the persona sentences and turns from `start` up to `stop`, in one read."""
        ends = self.ends[start:stop].tolist()
        offset = int(self.ends[start - 1]) if start else 0
        ids = self._ids[offset : ends[-1]].tolist() if ends else []
        return [ids[a - offset : b - offset] for a, b in pairwise([offset, *ends])]

    def ids(self, segment: int, start: int, stop: int) -> np.ndarray:
        """A part of the ids of one segment, not copied."""
        offset = int(self.ends[segment - 1]) if segment else 0
        return self._ids[offset + start : offset + stop]

    def segment_lengths(self) -> np.ndarray:
        """Tokens of every segment, without separators."""
        return np.diff(self.ends, prepend=0)

    @classmethod
    def build(
        cls,
        conversations: Iterable[Any],
        tokenizer: TextTokenizer,
        folder: Path,
        *,
        to_segments: Callable[[Any], Segments] | None = None,
        describe: Callable[[], str] = str,
    ) -> "TokenStore":
        """Tokenises conversations as they stream by and writes them into `folder`, which appears when all is written.

        Args:
            conversations: read once; never more than two chunks of them are held.
            tokenizer: whose `encode_many` gives the ids.
            folder: where to write. If another process finishes first, what it wrote is used.
            parts: gives the texts of one of them; left out, they are Conversations or ChoiceExamples.
            describe: asked at the end for the sentence about the source.
        """
        with atomic_folder(folder, replace=False) as fresh:
            dtype = "uint16" if len(tokenizer) <= 1 << 16 else "uint32"
            count = _write(map(to_segments or _parts, conversations), tokenizer, fresh, dtype)
            summary = StoreSummary(count, describe())
            (fresh / "summary.json").write_text(json.dumps(asdict(summary) | {"dtype": dtype}), encoding="utf-8")
        return cls(folder)


def store_key(source_digest: str, tokenizer: TextTokenizer, **options: object) -> str:
    """The name of a store: the same when, and only when, the same ids would be written."""
    backend = getattr(tokenizer.hf_tokenizer, "backend_tokenizer", None)
    if backend is None:
        vocabulary = tokenizer.hf_tokenizer.get_vocab()
    else:  # without what the last call happened to set
        vocabulary = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
    parts = [
        VERSION,
        source_digest,
        json.dumps(vocabulary, sort_keys=True),
        tokenizer.sep_token_id,
        tokenizer.hf_tokenizer.all_special_ids,
        sorted(options.items()),
    ]
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _write(conversations: Iterable[Segments], tokenizer: TextTokenizer, folder: Path, dtype: str) -> int:
    segments = tokens = count = 0
    with (
        open(folder / "ids.bin", "wb") as ids_file,
        open(folder / "ends.bin", "wb") as ends_file,
        open(folder / "words.bin", "wb") as words_file,
        open(folder / "bytes.bin", "wb") as bytes_file,
        open(folder / "conversations.bin", "wb") as index_file,
    ):
        for parts in _chunks(conversations):
            texts = [text for one in parts for part in one for text in part]
            encoded = tokenizer.encode_many(texts)
            sizes = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
            ends = tokens + np.cumsum(sizes)
            flat = np.fromiter(chain.from_iterable(encoded), dtype=dtype, count=int(sizes.sum()))
            flat.tofile(ids_file)
            ends.tofile(ends_file)
            np.fromiter((len(text.split()) for text in texts), dtype=np.int32, count=len(texts)).tofile(words_file)
            np.fromiter((len(text.encode()) for text in texts), dtype=np.int32, count=len(texts)).tofile(bytes_file)
            sizes = np.array([[len(part) for part in one] for one in parts], dtype=np.int64)
            starts = segments + np.cumsum([0, *sizes.sum(axis=1)])
            index = np.stack([starts[:-1], sizes[:, 0], sizes[:, 2]], axis=1)
            index.astype(np.int64).tofile(index_file)
            segments, tokens, count = int(starts[-1]), int(ends[-1]), count + len(parts)
    return count


def _parts(one: Conversation | SelectionExample) -> Segments:
    if isinstance(one, Conversation):
        return one.persona, one.turns, ()
    return one.persona, one.context, (one.response, *one.distractors)


def _chunks(conversations: Iterable[Segments]) -> Iterator[list[Segments]]:
    """As they stream by, so many at a time as go into the tokenizer in one call."""
    chunk: list[Segments] = []
    characters = 0
    for one in conversations:
        chunk.append(one)
        characters += sum(len(text) for part in one for text in part)
        if len(chunk) >= CHUNK or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def iter_chunks(items: Iterable[Stored], size: int) -> Iterator[list[Stored]]:
    """Items as they stream by, so many at a time."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _map(path: Path, dtype: str) -> np.ndarray:
    if path.stat().st_size == 0:
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")

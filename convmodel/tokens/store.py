"""Store the token ids of conversations, selection examples or documents on disk, memory-mapped for reading."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from convmodel.data.atomic import atomic_folder
from convmodel.data.conversation import Conversation
from convmodel.data.selection_example import SelectionExample
from convmodel.data.sides import SpokenSide, make_sides
from convmodel.tokens.context_ids import encode_sides
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.speakers import by_appearance
from convmodel.tokens.text_tokenizer import TextTokenizer

ARRAYS = ("ids", "ends", "words", "bytes", "speakers", "given", "conversations")
"""Names of the array files of a store."""

VERSION = 5
"""Part of every key: incremented when the format changes, so that folders of the old format are not read."""

Item = TypeVar("Item")

CHUNK = 2048
"""Maximum number of conversations or documents that are tokenised in one call."""

CHUNK_CHARACTERS = 2**22
"""Number of characters at which a tokeniser call is full, even if it has fewer than `CHUNK` items."""

Segments = tuple[Sequence[str], Sequence[str], Sequence[str]]
"""The texts of one stored item: its prefix (persona sentences, a document's meta), its turns (or a document's body),
and candidates of its response, the real response first."""


_Parts = tuple[Sequence[str], Sequence[str] | Sequence[SpokenSide], Sequence[str]]

_Item = tuple[_Parts, Sequence[str] | None]
"""The texts of an item, and the names of the speakers of its turns; None if its sides contain the names."""


def to_segments(item: Conversation | SelectionExample) -> Segments:
    """Return the texts of a conversation or a selection example to store; see `Segments`."""
    if isinstance(item, Conversation):
        return item.persona, item.turns, ()
    return item.persona, item.context, (item.response, *item.distractors)


@dataclass(frozen=True)
class StoreSummary:
    """Number of conversations or documents in a store, and a sentence that describes their source file."""

    conversations: int
    source: str = ""


class TokenStore:
    """Token ids of C conversations or documents in a folder that `TokenStore.build` wrote, memory-mapped.

    Their S segments are the texts of all conversations (see `Segments`) in order.

    Attributes:
        ends: (S,) index after the last id of each segment.
        words: (S,) number of words of each segment.
        bytes: (S,) number of UTF-8 bytes of each segment.
        names: number of names in all segments.
        speakers: (S,) number of the speaker of each turn, in the order of first appearance; 0 and 1 alternately
            if the conversation names no speakers.
        first: (C + 1,) index of the first segment of each conversation, then S.
        prefix_segments: (C,) number of persona sentences or metas of each conversation.
        candidates: (C,) number of candidates of each conversation.
    """

    def __init__(self, folder: Path) -> None:
        values = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        dtype = values.pop("dtype")
        self.summary = StoreSummary(**values)
        self._ids = _map(folder / "ids.bin", dtype)
        self.ends = _map(folder / "ends.bin", "int64")
        self.words = _map(folder / "words.bin", "int32")
        self.bytes = _map(folder / "bytes.bin", "int32")
        self.speakers = _map(folder / "speakers.bin", "int32")
        self._given = _map(folder / "given.bin", "int64").reshape(-1, 3)
        self.names = len(self._given)
        index = _map(folder / "conversations.bin", "int64").reshape(-1, 3)
        self.first = np.append(index[:, 0], len(self.ends))
        self.prefix_segments = index[:, 1]
        self.candidates = index[:, 2]

    def __len__(self) -> int:
        return len(self.prefix_segments)

    def segments(self, start: int, stop: int) -> list[list[int]]:
        """Return the ids of the segments from `start` up to `stop`, in one read."""
        ends = self.ends[start:stop].tolist()
        offset = int(self.ends[start - 1]) if start else 0
        ids = self._ids[offset : ends[-1]].tolist() if ends else []
        return [ids[a - offset : b - offset] for a, b in pairwise([offset, *ends])]

    def ids(self, segment: int, start: int, stop: int) -> np.ndarray:
        """Return the ids of one segment from `start` up to `stop`, as a view."""
        offset = int(self.ends[segment - 1]) if segment else 0
        return self._ids[offset + start : offset + stop]

    def given(self, segment: int) -> list[tuple[int, int]]:
        """Return the start and the stop of each name in a segment; see `SideIds`."""
        first, last = np.searchsorted(self._given[:, 0], (segment, segment + 1))
        return [(start, stop) for start, stop in self._given[first:last, 1:].tolist()]

    def segment_lengths(self) -> np.ndarray:
        """Return the number of tokens of every segment, without separators."""
        return np.diff(self.ends, prepend=0)

    @classmethod
    def build(
        cls,
        conversations: Iterable[Any],
        tokenizer: TextTokenizer,
        folder: Path,
        *,
        to_segments: Callable[[Any], Segments] = to_segments,
        describe: Callable[[], str] = str,
    ) -> "TokenStore":
        """Tokenise a stream of conversations into `folder`, which is created only when everything is written.

        Args:
            conversations: conversations or other items, read once; at most two chunks of them are in memory.
            folder: folder to write. If another process finishes first, its folder is used.
            describe: called at the end; returns the sentence about the source.
        """
        with atomic_folder(folder, replace=False) as fresh:
            dtype = "uint16" if len(tokenizer) <= 1 << 16 else "uint32"
            items = (_to_item(to_segments(item), getattr(item, "speakers", None), tokenizer) for item in conversations)
            summary = StoreSummary(_write(items, tokenizer, fresh, dtype), describe())
            (fresh / "summary.json").write_text(json.dumps(asdict(summary) | {"dtype": dtype}), encoding="utf-8")
        return cls(folder)


def store_key(source_digest: str, tokenizer: TextTokenizer, **options: object) -> str:
    """Return the name of a store, a digest of everything that determines the written ids."""
    backend = getattr(tokenizer.hf_tokenizer, "backend_tokenizer", None)
    if backend is None:
        vocabulary = tokenizer.hf_tokenizer.get_vocab()
    else:  # truncation and padding are settings of the last call
        vocabulary = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
    parts = [
        VERSION,
        source_digest,
        json.dumps(vocabulary, sort_keys=True),
        tokenizer.sep_token_id,
        tokenizer.hf_tokenizer.all_special_ids,
        isinstance(tokenizer, ConversationTokenizer) and (tokenizer.layout.trims, tokenizer.layout.max_speakers > 2),
        sorted(options.items()),
    ]
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _to_item(segments: Segments, names: Sequence[str] | None, tokenizer: TextTokenizer) -> _Item:
    """Return an item to store. For a layout of two sides, named speakers become two sides; the last one replies."""
    if names is None or not isinstance(tokenizer, ConversationTokenizer) or tokenizer.layout.max_speakers > 2:
        return segments, names
    prefix, turns, candidates = segments
    return (prefix, make_sides(turns, names, names[-1]), candidates), None


def _write(conversations: Iterable[_Item], tokenizer: TextTokenizer, folder: Path, dtype: str) -> int:
    segments = tokens = count = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context(open(folder / f"{name}.bin", "wb")) for name in ARRAYS}
        for chunk in _chunks(conversations):
            turns = [turn for item, _ in chunk for part in item for turn in part]
            encoded, given = _encode(turns, tokenizer, segments)
            given.tofile(files["given"])
            texts = list(map(_said, turns))
            sizes = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
            ends = tokens + np.cumsum(sizes)
            flat = np.fromiter(chain.from_iterable(encoded), dtype=dtype, count=int(sizes.sum()))
            flat.tofile(files["ids"])
            ends.tofile(files["ends"])
            np.array([len(text.split()) for text in texts], dtype=np.int32).tofile(files["words"])
            np.array([len(text.encode()) for text in texts], dtype=np.int32).tofile(files["bytes"])
            sizes = np.array([[len(part) for part in item] for item, _ in chunk], dtype=np.int64)
            starts = segments + np.cumsum([0, *sizes.sum(axis=1)])
            index = np.stack([starts[:-1], sizes[:, 0], sizes[:, 2]], axis=1)
            index.tofile(files["conversations"])
            _number_speakers(sizes, [names for _, names in chunk]).tofile(files["speakers"])
            segments = int(starts[-1])
            tokens = int(ends[-1])
            count += len(chunk)
    return count


def _encode(
    turns: Sequence[str | SpokenSide], tokenizer: TextTokenizer, first: int
) -> tuple[Sequence[list[int]], np.ndarray]:
    """Return the ids of segments, counted from `first`, and (N, 3) the segment, start and stop of each name."""
    texts = [turn for turn in turns if isinstance(turn, str)]
    if len(texts) == len(turns) or not isinstance(tokenizer, ConversationTokenizer):
        encode = getattr(tokenizer, "encode_turns", tokenizer.encode_many)
        return encode(texts), np.zeros((0, 3), dtype=np.int64)
    sides = encode_sides(tokenizer, turns)
    given = [(segment, *span) for segment, side in enumerate(sides, first) for span in side.given]
    return [side.ids for side in sides], np.array(given, dtype=np.int64).reshape(-1, 3)


def _said(turn: str | SpokenSide) -> str:
    return turn if isinstance(turn, str) else turn.said


def _number_speakers(sizes: np.ndarray, names: Sequence[Sequence[str] | None]) -> np.ndarray:
    """Return the index of the speaker of each segment.

    `sizes` (N, 3) are the numbers of prefix texts, turns and candidates of N items."""
    starts = np.cumsum([0, *sizes.sum(axis=1)])
    offsets = np.arange(starts[-1]) - np.repeat(starts[:-1] + sizes[:, 0], sizes.sum(axis=1))
    numbers: np.ndarray = (offsets % 2).astype(np.int32)
    for row, speakers in enumerate(names):
        if speakers is not None:
            first = int(starts[row] + sizes[row, 0])
            numbers[first : first + len(speakers)] = by_appearance(speakers)
    return numbers


def _chunks(conversations: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Yield lists of items, each to be tokenised in one call; see `CHUNK` and `CHUNK_CHARACTERS`."""
    chunk: list[_Item] = []
    characters = 0
    for item in conversations:
        chunk.append(item)
        characters += sum(len(_said(text)) for part in item[0] for text in part)
        if len(chunk) >= CHUNK or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk = []
            characters = 0
    if chunk:
        yield chunk


def iter_chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items of a stream; the last list may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _map(path: Path, dtype: str) -> np.ndarray:
    if path.stat().st_size == 0:
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")

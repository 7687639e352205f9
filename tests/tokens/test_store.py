"""Token stores on disk: the ids of each text, written from a stream of conversations, completely or not at all."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest

from convmodel.data.conversation import Conversation
from convmodel.tokens import store as token_store
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.store import TokenStore, store_key
from tests.conftest import TEXTS, random_text, random_turns
from tests.vocabularies import byte_level


class CodePoints:
    """A tokenizer whose ids are the code points, and which records the size of every call."""

    def __init__(self, size: int = 0x110000) -> None:
        self._size = size
        self.calls: list[int] = []

    def __len__(self) -> int:
        return self._size

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        self.calls.append(len(texts))
        return [list(map(ord, text)) for text in texts]


def code_points(size: int = 0x110000) -> ConversationTokenizer:
    return cast(ConversationTokenizer, CodePoints(size))


def random_conversations(source: random.Random, number: int) -> list[Conversation]:
    return [
        Conversation(random_turns(source), [random_text(source) for _ in range(source.choice([0, 0, 1, 3]))])
        for _ in range(number)
    ]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_store, "CHUNK", 4)


# build


@pytest.mark.parametrize("number", [1, 3, 4, 5, 8, 30])
def test_a_store_contains_the_ids_of_each_text(tmp_path: Path, tokenizer: ConversationTokenizer, number: int) -> None:
    conversations = random_conversations(random.Random(number), number)
    store = TokenStore.build(iter(conversations), tokenizer, tmp_path / "store")
    assert len(store) == store.summary.conversations == number
    for n, conversation in enumerate(conversations):
        start = store.first[n]
        stop = store.first[n + 1]
        texts = [*conversation.persona, *conversation.turns]
        assert store.prefix_segments[n] == len(conversation.persona)
        assert store.segments(start, stop) == [tokenizer.encode(text) for text in texts]
        assert store.words[start:stop].tolist() == [len(text.split()) for text in texts]
        assert store.bytes[start:stop].tolist() == [len(text.encode()) for text in texts]


def test_any_run_of_segments_can_be_read(tmp_path: Path) -> None:
    conversations = random_conversations(random.Random(1), 6)
    store = TokenStore.build(conversations, code_points(), tmp_path / "store")
    texts = [text for c in conversations for text in (*c.persona, *c.turns)]
    assert store.segment_lengths().tolist() == list(map(len, texts))
    for start in range(len(texts) + 1):
        for stop in range(start, len(texts) + 1):
            assert store.segments(start, stop) == [list(map(ord, text)) for text in texts[start:stop]]


@pytest.mark.parametrize(("size", "kind", "highest"), [(1 << 16, "uint16", 0xFFFF), ((1 << 16) + 1, "uint32", 0x10000)])
def test_ids_take_two_bytes_when_all_of_them_fit(tmp_path: Path, size: int, kind: str, highest: int) -> None:
    turns = ["a", chr(highest)]
    store = TokenStore.build([Conversation(turns)], code_points(size), tmp_path / "store")
    assert store.segments(0, 2) == [[97], [highest]]
    assert os.path.getsize(tmp_path / "store" / "ids.bin") == 2 * np.dtype(kind).itemsize


def test_any_run_of_ids_of_a_segment_can_be_read(tmp_path: Path) -> None:
    store = TokenStore.build([Conversation(["abc", "d"], ["ef"])], code_points(), tmp_path / "store")
    for segment, text in enumerate(["ef", "abc", "d"]):
        for start in range(len(text) + 1):
            for stop in range(start, len(text) + 1):
                assert store.ids(segment, start, stop).tolist() == list(map(ord, text[start:stop]))


def test_any_object_with_text_segments_can_be_stored(tmp_path: Path) -> None:
    segments = {1: (["pinned"], ["one", "two"], []), 2: ([], ["three"], ["four", "five"])}
    store = TokenStore.build([1, 2], code_points(), tmp_path / "store", to_segments=segments.__getitem__)
    texts = ["".join(map(chr, ids)) for ids in store.segments(0, 6)]
    assert texts == ["pinned", "one", "two", "three", "four", "five"]
    assert (store.first.tolist(), store.prefix_segments.tolist(), store.candidates.tolist()) == (
        [0, 3, 6],
        [1, 0],
        [0, 2],
    )


def test_long_texts_are_tokenized_in_smaller_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_store, "CHUNK_CHARACTERS", 10)
    tokenizer = CodePoints()
    texts = ["x" * 25, "a", "b", "c" * 9, "d"]
    store = TokenStore.build(
        texts, cast(ConversationTokenizer, tokenizer), tmp_path / "store", to_segments=lambda text: ([], [text], [])
    )
    assert tokenizer.calls == [1, 3, 1]
    assert store.segments(0, 5) == [list(map(ord, text)) for text in texts]


def test_arrays_are_memory_mapped(tmp_path: Path) -> None:
    store = TokenStore.build([Conversation(["a", "b"])], code_points(), tmp_path / "store")
    arrays = [store._ids, store.ends, store.words, store.bytes]
    assert all(isinstance(array, np.memmap) and array.mode == "r" for array in arrays)


def test_an_existing_store_is_loaded_as_written(tmp_path: Path) -> None:
    built = TokenStore.build([Conversation(["ab", "c"], ["p"])], code_points(), tmp_path / "s", describe=lambda: "read")
    loaded = TokenStore(tmp_path / "s")
    assert loaded.summary == built.summary == token_store.StoreSummary(1, "read")
    assert loaded.segments(0, 3) == [[112], [97, 98], [99]]


def test_a_store_can_be_empty(tmp_path: Path) -> None:
    store = TokenStore.build([], code_points(), tmp_path / "store")
    assert len(store) == 0
    assert store.segments(0, 0) == []
    assert store.segment_lengths().tolist() == []


class CountedConversation(Conversation):
    """A conversation that counts its live instances: their current number and their maximum."""

    __slots__ = ()
    alive: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def __init__(self, turns: list[str]) -> None:
        super().__init__(turns)
        CountedConversation.alive += 1
        CountedConversation.most = max(CountedConversation.most, CountedConversation.alive)

    def __del__(self) -> None:
        CountedConversation.alive -= 1


def test_conversations_are_read_in_chunks_and_released(tmp_path: Path) -> None:
    tokenizer = CodePoints()
    calls_when_made: list[int] = []

    def stream() -> Iterator[Conversation]:
        for _ in range(30):
            calls_when_made.append(len(tokenizer.calls))
            yield CountedConversation(["a", "b"])

    store = TokenStore.build(stream(), cast(ConversationTokenizer, tokenizer), tmp_path / "store")
    assert len(store) == 30
    assert tokenizer.calls == [8] * 7 + [4]
    assert calls_when_made == [n // 4 for n in range(30)]
    assert CountedConversation.alive == 0
    assert CountedConversation.most <= 2 * token_store.CHUNK


def test_the_source_is_described_after_it_was_read(tmp_path: Path) -> None:
    read_count = 0

    def stream() -> Iterator[Conversation]:
        nonlocal read_count
        for _ in range(9):
            read_count += 1
            yield Conversation(["a", "b"])

    store = TokenStore.build(stream(), code_points(), tmp_path / "store", describe=lambda: f"{read_count} were read")
    assert store.summary.source == "9 were read"


# Atomic builds


def test_a_second_build_keeps_the_existing_store(tmp_path: Path) -> None:
    first = TokenStore.build([Conversation(["first", "one"])], code_points(), tmp_path / "store")
    inode = (tmp_path / "store" / "ids.bin").stat().st_ino
    second = TokenStore.build([Conversation(["other", "one"])] * 3, code_points(), tmp_path / "store")
    assert len(second) == 1
    assert second.segments(0, 2) == first.segments(0, 2)
    assert (tmp_path / "store" / "ids.bin").stat().st_ino == inode
    assert os.listdir(tmp_path) == ["store"]


def test_a_failed_build_leaves_no_files(tmp_path: Path) -> None:
    def failing_stream() -> Iterator[Conversation]:
        yield from [Conversation(["a", "b"])] * 10
        raise ValueError("line 11 is broken")

    with pytest.raises(ValueError, match="line 11 is broken"):
        TokenStore.build(failing_stream(), code_points(), tmp_path / "cache" / "store")
    assert os.listdir(tmp_path / "cache") == []


@pytest.mark.slow
def test_a_killed_build_leaves_no_store_and_the_next_build_removes_its_files(tmp_path: Path) -> None:
    program = f"""
import os, pathlib, signal
from convmodel.data.conversation import Conversation
from convmodel.tokens.store import CHUNK, TokenStore

class Ones(list):
    def encode_many(self, texts):
        return [[1] for _ in texts]

def streaming():
    yield from [Conversation(["a", "b"])] * CHUNK
    os.kill(os.getpid(), signal.SIGKILL)

TokenStore.build(streaming(), Ones(), pathlib.Path({str(tmp_path / "store")!r}))
"""
    killed = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "store").exists()
    assert len(os.listdir(tmp_path)) == 1
    TokenStore.build([Conversation(["a", "b"])], code_points(), tmp_path / "store")
    assert os.listdir(tmp_path) == ["store"]


# store_key


def small_tokenizer(**options: str) -> ConversationTokenizer:
    return ConversationTokenizer(byte_level(**options))


def test_a_key_depends_on_file_vocabulary_separator_and_options() -> None:
    keys = [
        store_key("digest", small_tokenizer(sep_token="<|endoftext|>"), on_error="stop"),
        store_key("digesu", small_tokenizer(sep_token="<|endoftext|>"), on_error="stop"),
        store_key("digest", small_tokenizer(sep_token="<|endoftext|>"), on_error="skip"),
        store_key("digest", small_tokenizer(sep_token="<|endoftext|>")),
        store_key("digest", small_tokenizer(sep_token="<sep>"), on_error="stop"),
        store_key("digest", small_tokenizer(sep_token="<|endoftext|>", eos_token="!"), on_error="stop"),
        store_key("digest", ConversationTokenizer.learn(TEXTS, 300), on_error="stop"),
        store_key("digest", ConversationTokenizer.learn(TEXTS, 301), on_error="stop"),
    ]
    assert len(set(keys)) == len(keys)


def test_a_key_does_not_depend_on_saving_the_tokenizer_or_the_order_of_options(tmp_path: Path) -> None:
    learned = ConversationTokenizer.learn(TEXTS, 300)
    learned.save_pretrained(tmp_path)
    loaded = ConversationTokenizer.from_pretrained(tmp_path)
    assert store_key("digest", learned, a=1, b=2) == store_key("digest", loaded, b=2, a=1)


def test_a_key_does_not_depend_on_earlier_calls_of_the_tokenizer(tokenizer: ConversationTokenizer) -> None:
    before = store_key("digest", tokenizer)
    tokenizer(["Hello", "you"])
    hf_tokenizer: Any = tokenizer.hf_tokenizer
    hf_tokenizer(["Hello", "How are you?"], padding=True, truncation=True, max_length=2)
    assert store_key("digest", tokenizer) == before


def test_a_slow_tokenizer_has_a_key() -> None:
    from tests.vocabularies import Letters

    keys = {store_key("digest", ConversationTokenizer(Letters(**options))) for options in ({}, {"sep_token": "a"})}
    assert len(keys) == 2

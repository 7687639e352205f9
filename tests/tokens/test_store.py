"""Tokens on disk: what encoding text by text gives, written while conversations stream by, whole or not at all."""

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
    """As a tokenizer whose ids are the code points; it keeps the size of every call."""

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
def test_a_store_holds_what_encoding_text_by_text_gives(
    tmp_path: Path, tokenizer: ConversationTokenizer, number: int
) -> None:
    conversations = random_conversations(random.Random(number), number)
    store = TokenStore.build(iter(conversations), tokenizer, tmp_path / "store")
    assert len(store) == store.summary.conversations == number
    for n, conversation in enumerate(conversations):
        start, stop = store.first[n], store.first[n + 1]
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


def test_anything_whose_texts_one_can_tell_is_stored(tmp_path: Path) -> None:
    told = {1: (["pinned"], ["one", "two"], []), 2: ([], ["three"], ["four", "five"])}
    store = TokenStore.build([1, 2], code_points(), tmp_path / "store", to_segments=told.__getitem__)
    texts = ["".join(map(chr, ids)) for ids in store.segments(0, 6)]
    assert texts == ["pinned", "one", "two", "three", "four", "five"]
    assert (store.first.tolist(), store.prefix_segments.tolist(), store.candidates.tolist()) == (
        [0, 3, 6],
        [1, 0],
        [0, 2],
    )


def test_long_texts_go_into_the_tokenizer_in_smaller_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_store, "CHUNK_CHARACTERS", 10)
    tokenizer = CodePoints()
    texts = ["x" * 25, "a", "b", "c" * 9, "d"]
    store = TokenStore.build(
        texts, cast(ConversationTokenizer, tokenizer), tmp_path / "store", to_segments=lambda text: ([], [text], [])
    )
    assert tokenizer.calls == [1, 3, 1]
    assert store.segments(0, 5) == [list(map(ord, text)) for text in texts]


def test_ids_are_mapped_not_read(tmp_path: Path) -> None:
    store = TokenStore.build([Conversation(["a", "b"])], code_points(), tmp_path / "store")
    arrays = [store._ids, store.ends, store.words, store.bytes]
    assert all(isinstance(array, np.memmap) and array.mode == "r" for array in arrays)


def test_a_store_that_lies_there_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = TokenStore.build([Conversation(["ab", "c"], ["p"])], code_points(), tmp_path / "s", describe=lambda: "read")
    found = TokenStore(tmp_path / "s")
    assert found.summary == made.summary == token_store.StoreSummary(1, "read")
    assert found.segments(0, 3) == [[112], [97, 98], [99]]


def test_no_conversations_are_an_empty_store(tmp_path: Path) -> None:
    store = TokenStore.build([], code_points(), tmp_path / "store")
    assert len(store) == 0
    assert store.segments(0, 0) == []
    assert store.segment_lengths().tolist() == []


class Counted(Conversation):
    """A conversation that counts how many of its kind are held, now and at most."""

    __slots__ = ()
    alive: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def __init__(self, turns: list[str]) -> None:
        super().__init__(turns)
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)

    def __del__(self) -> None:
        Counted.alive -= 1


def test_conversations_are_taken_chunk_by_chunk_and_let_go(tmp_path: Path) -> None:
    tokenizer = CodePoints()
    calls_when_made: list[int] = []

    def streaming() -> Iterator[Conversation]:
        for _ in range(30):
            calls_when_made.append(len(tokenizer.calls))
            yield Counted(["a", "b"])

    store = TokenStore.build(streaming(), cast(ConversationTokenizer, tokenizer), tmp_path / "store")
    assert len(store) == 30
    assert tokenizer.calls == [8] * 7 + [4]
    assert calls_when_made == [n // 4 for n in range(30)]
    assert Counted.alive == 0
    assert Counted.most <= 2 * token_store.CHUNK


def test_the_source_is_described_when_it_has_been_read(tmp_path: Path) -> None:
    seen = 0

    def streaming() -> Iterator[Conversation]:
        nonlocal seen
        for _ in range(9):
            seen += 1
            yield Conversation(["a", "b"])

    store = TokenStore.build(streaming(), code_points(), tmp_path / "store", describe=lambda: f"{seen} were read")
    assert store.summary.source == "9 were read"


# Whole or not at all


def test_a_second_build_leaves_what_is_there(tmp_path: Path) -> None:
    first = TokenStore.build([Conversation(["first", "one"])], code_points(), tmp_path / "store")
    number = (tmp_path / "store" / "ids.bin").stat().st_ino
    second = TokenStore.build([Conversation(["other", "one"])] * 3, code_points(), tmp_path / "store")
    assert len(second) == 1
    assert second.segments(0, 2) == first.segments(0, 2)
    assert (tmp_path / "store" / "ids.bin").stat().st_ino == number
    assert os.listdir(tmp_path) == ["store"]


def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def breaking() -> Iterator[Conversation]:
        yield from [Conversation(["a", "b"])] * 10
        raise ValueError("line 11 is broken")

    with pytest.raises(ValueError, match="line 11 is broken"):
        TokenStore.build(breaking(), code_points(), tmp_path / "cache" / "store")
    assert os.listdir(tmp_path / "cache") == []


def test_a_kill_in_the_middle_leaves_no_store_and_its_remains_go_with_the_next_build(tmp_path: Path) -> None:
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


def small(**options: str) -> ConversationTokenizer:
    return ConversationTokenizer(byte_level(**options))


def test_a_key_changes_with_the_file_the_vocabulary_the_separator_and_the_options() -> None:
    keys = [
        store_key("digest", small(sep_token="<|endoftext|>"), on_error="stop"),
        store_key("digesu", small(sep_token="<|endoftext|>"), on_error="stop"),
        store_key("digest", small(sep_token="<|endoftext|>"), on_error="skip"),
        store_key("digest", small(sep_token="<|endoftext|>")),
        store_key("digest", small(sep_token="<sep>"), on_error="stop"),
        store_key("digest", small(sep_token="<|endoftext|>", eos_token="!"), on_error="stop"),
        store_key("digest", ConversationTokenizer.learn(TEXTS, 300), on_error="stop"),
        store_key("digest", ConversationTokenizer.learn(TEXTS, 301), on_error="stop"),
    ]
    assert len(set(keys)) == len(keys)


def test_a_key_is_the_same_for_the_same_tokenizer_saved_and_loaded_and_for_options_in_any_order(tmp_path: Path) -> None:
    made = ConversationTokenizer.learn(TEXTS, 300)
    made.save_pretrained(tmp_path)
    loaded = ConversationTokenizer.from_pretrained(tmp_path)
    assert store_key("digest", made, a=1, b=2) == store_key("digest", loaded, b=2, a=1)


def test_a_key_does_not_change_when_the_tokenizer_is_used(tokenizer: ConversationTokenizer) -> None:
    before = store_key("digest", tokenizer)
    tokenizer(["Hello", "you"])
    hf_tokenizer: Any = tokenizer.hf_tokenizer
    hf_tokenizer(["Hello", "How are you?"], padding=True, truncation=True, max_length=2)
    assert store_key("digest", tokenizer) == before


def test_a_key_can_be_made_for_a_tokenizer_without_a_rust_part() -> None:
    from tests.vocabularies import Letters

    keys = {store_key("digest", ConversationTokenizer(Letters(**options))) for options in ({}, {"sep_token": "a"})}
    assert len(keys) == 2

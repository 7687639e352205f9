"""Counting of tokens: exactly those of the tokenizer, but much faster than encoding."""

import json
import re
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

import numpy as np
import regex

from convmodel.tokens.conversation_tokenizer import ConversationTokenizer

LEARNED_FROM = 1_000_000
"""Number of characters that a vocabulary is learned from when no model is given."""

_PIECES = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)  # GPT-2's, as in the ByteLevel pre-tokenizer of tokenizers
# The same pattern for ASCII texts: Python's own engine is twice as fast, but has neither \p{L} nor Unicode white space.
_ASCII_PIECES = re.compile(
    r"'(?:[stmd]|re|ve|ll)| ?[a-zA-Z]+| ?[0-9]+| ?[^ \t-\ra-zA-Z0-9]+|[ \t-\r]+(?![^ \t-\r])|[ \t-\r]+"
)
_MAX_CACHED = 500_000


class TokenCounter:
    """Count the tokens of texts.

    A byte-level BPE such as GPT-2's splits a text into pieces and encodes each piece independently, so the counts of
    pieces are cached: three times as fast. With any other tokenizer the texts are encoded.

    Args:
        tokenizer: the tokenizer whose tokens are counted.
    """

    def __init__(self, tokenizer: ConversationTokenizer) -> None:
        self._tokenizer = tokenizer
        self._by_pieces = _is_byte_level(tokenizer)
        self._known: dict[str, int] = {}

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return (S,) the number of tokens of each text, without separators."""
        if not self._by_pieces:
            return np.array([len(ids) for ids in self._tokenizer.encode_many(texts)], dtype=np.int64)
        ascii_pieces = _ASCII_PIECES.findall
        all_pieces = _PIECES.findall
        pieces = [ascii_pieces(text) if text.isascii() else all_pieces(text) for text in texts]
        if len(self._known) > _MAX_CACHED:
            self._known.clear()
        new = list(set(chain.from_iterable(pieces)) - self._known.keys())
        self._known.update(zip(new, map(len, self._tokenizer.encode_many(new)), strict=True))
        length = self._known.__getitem__
        return np.array([sum(map(length, of_text)) for of_text in pieces], dtype=np.int64)


def learn_tokenizer(texts: Iterable[str], *, vocab_size: int) -> ConversationTokenizer:
    """Learn a vocabulary from the first texts; the trainer learns it from all of them.

    Args:
        texts: the texts, read up to LEARNED_FROM characters.
        vocab_size: maximum number of tokens.
    """
    return ConversationTokenizer.learn(_take_characters(iter(texts), LEARNED_FROM), vocab_size)


def _take_characters(texts: Iterable[str], characters: int) -> Iterable[str]:
    seen = 0
    for text in texts:
        yield text
        seen += len(text)
        if seen >= characters:
            return


def _is_byte_level(tokenizer: ConversationTokenizer) -> bool:
    """Return whether the tokenizer splits texts like `_PIECES` and encodes each piece independently."""
    backend = getattr(tokenizer.hf_tokenizer, "backend_tokenizer", None)
    if backend is None:
        return False
    spec: dict[str, Any] = json.loads(backend.to_str())
    before = spec["pre_tokenizer"] or {}
    model = spec["model"]
    return (
        before.get("type") == "ByteLevel"
        and before.get("use_regex", True)
        and not before.get("add_prefix_space")
        and spec["normalizer"] is None
        and model["type"] == "BPE"
        and not model.get("dropout")
        and all(token["special"] for token in spec["added_tokens"])
    )


def sample_texts(conversations: Iterable[Any], *, limit: int = 100_000) -> Iterable[str]:
    """Yield the persona sentences and turns of the first `limit` conversations."""
    return (text for c in islice(conversations, limit) for text in (*c.persona, *c.turns))

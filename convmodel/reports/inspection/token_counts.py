"""Texts in, the number of their tokens out: exactly those of the tokenizer, much faster than encoding."""

import json
import re
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

import numpy as np
import regex

from convmodel.tokens.conversation_tokenizer import ConversationTokenizer

LEARNED_FROM = 1_000_000
"""Characters from which a vocabulary is learned where no model is given."""

_PIECES = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)  # GPT-2's, as in the ByteLevel pre-tokenizer of tokenizers
# The same for ASCII alone: Python's own engine is twice as fast, but knows neither \p{L} nor Unicode's white space.
_ASCII_PIECES = re.compile(
    r"'(?:[stmd]|re|ve|ll)| ?[a-zA-Z]+| ?[0-9]+| ?[^ \t-\ra-zA-Z0-9]+|[ \t-\r]+(?![^ \t-\r])|[ \t-\r]+"
)
_REMEMBERED = 500_000


class TokenCounter:
    """Counts the tokens of texts.

    A byte-level BPE such as GPT-2's cuts a text into pieces and encodes each for itself, so a piece met before need not
    be encoded again: three times as fast. Any other tokenizer encodes the texts.

    Args:
        tokenizer: whose tokens are counted.
    """

    def __init__(self, tokenizer: ConversationTokenizer) -> None:
        self._tokenizer = tokenizer
        self._by_pieces = _is_byte_level(tokenizer)
        self._known: dict[str, int] = {}

    def __call__(self, texts: list[str]) -> np.ndarray:
        """(S,) the tokens of each text, without separators."""
        if not self._by_pieces:
            return np.array([len(ids) for ids in self._tokenizer.encode_many(texts)], dtype=np.int64)
        ascii_pieces, all_pieces = _ASCII_PIECES.findall, _PIECES.findall
        pieces = [ascii_pieces(text) if text.isascii() else all_pieces(text) for text in texts]
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        new = list(set(chain.from_iterable(pieces)) - self._known.keys())
        self._known.update(zip(new, map(len, self._tokenizer.encode_many(new)), strict=True))
        length = self._known.__getitem__
        return np.array([sum(map(length, found)) for found in pieces], dtype=np.int64)


def learn_tokenizer(texts: Iterable[str], *, vocab_size: int) -> ConversationTokenizer:
    """Learns a vocabulary from the first texts, as the trainer does from all of them.

    Args:
        texts: read until LEARNED_FROM characters have been seen.
        vocab_size: tokens at most.
    """
    return ConversationTokenizer.learn(_until(iter(texts), LEARNED_FROM), vocab_size)


def _until(texts: Iterable[str], characters: int) -> Iterable[str]:
    seen = 0
    for text in texts:
        yield text
        seen += len(text)
        if seen >= characters:
            return


def _is_byte_level(tokenizer: ConversationTokenizer) -> bool:
    """Whether its pieces are those of `_PIECES`, each encoded for itself."""
    backend = getattr(tokenizer.hf_tokenizer, "backend_tokenizer", None)
    if backend is None:
        return False
    spec: dict[str, Any] = json.loads(backend.to_str())
    before, model = spec["pre_tokenizer"] or {}, spec["model"]
    return (
        before.get("type") == "ByteLevel"
        and before.get("use_regex", True)
        and not before.get("add_prefix_space")
        and spec["normalizer"] is None
        and model["type"] == "BPE"
        and not model.get("dropout")
        and all(token["special"] for token in spec["added_tokens"])
    )


def sample_texts(conversations: Iterable[Any], *, most: int = 100_000) -> Iterable[str]:
    """Persona sentences and turns of the first conversations."""
    return (text for c in islice(conversations, most) for text in (*c.persona, *c.turns))

"""Counting of the tokens of a tokenizer, exactly, but much faster than encoding."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any

import numpy as np
import regex

from convmodel.data.conversation import ConversationReader
from convmodel.generation.causal_lm import context_window
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.folder import CONVERSATION_FILE, DOCUMENT_FILE
from convmodel.models.source import open_source
from convmodel.reports.inspection.settings import VOCABULARY, WINDOW, InspectionSettings
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.layout_options import choose_for

LEARNED_FROM = 1_000_000
"""Number of characters from which a vocabulary is learned if no model is given."""

_PIECES = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)  # the pattern of GPT-2, as in the ByteLevel pre-tokenizer of tokenizers
# The same pattern for ASCII texts. `re` is twice as fast as `regex`, but supports neither \p{L} nor \p{N}.
_ASCII_PIECES = re.compile(
    r"'(?:[stmd]|re|ve|ll)| ?[a-zA-Z]+| ?[0-9]+| ?[^ \t-\ra-zA-Z0-9]+|[ \t-\r]+(?![^ \t-\r])|[ \t-\r]+"
)
_MAX_CACHED = 500_000


class TokenCounter:
    """Counts the tokens of texts.

    A byte-level BPE such as GPT-2's splits a text into pieces, and encodes each piece independently. The counts of
    pieces are therefore cached, which is three times as fast. With other tokenizers, the texts are encoded.
    """

    def __init__(self, tokenizer: ConversationTokenizer) -> None:
        self._tokenizer = tokenizer
        self._by_pieces = _is_byte_level(tokenizer)
        self._known: dict[str, int] = {}

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return the (S,) numbers of tokens of S texts, without separators."""
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


def _is_byte_level(tokenizer: ConversationTokenizer) -> bool:
    """Return whether the tokenizer splits texts by the pattern `_PIECES`, and encodes each piece independently."""
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


@dataclass(frozen=True)
class Ruler:
    """Tokenizer and window by which lengths are measured.

    Args:
        tokenizer: the tokenizer.
        max_length: maximum number of tokens of a window.
        name: description of the tokenizer in reports.
    """

    tokenizer: ConversationTokenizer
    max_length: int
    name: str

    @cached_property
    def count(self) -> TokenCounter:
        """Counter of the tokens of texts."""
        return TokenCounter(self.tokenizer)


def make_ruler(first: ConversationReader, settings: InspectionSettings) -> Ruler:
    """Return the tokenizer and the window of the model in the settings.

    Without a model, a vocabulary is learned from the first file. Raises ValueError if `max_length` exceeds the window
    of the model.
    """
    if settings.model is None:
        tokenizer = learn_tokenizer(text for c in islice(first, 100_000) for text in (*c.persona, *c.turns))
        name = f"a vocabulary of {len(tokenizer):,} learned from the first {LEARNED_FROM // 10**6} MB of {first.source}"
        return Ruler(tokenizer, settings.max_length or WINDOW, name)
    source = open_source(settings.model, base=settings.base)
    config = source.config()
    positions = context_window(config)
    if settings.max_length is not None and settings.max_length > positions:
        raise ValueError(f"max_length={settings.max_length}, but {settings.model} reads {positions} tokens at most")
    tokenizer = source.tokenizer(ConversationTokenizer)
    options = ConversationModel.read_extra_config(source.place_of(DOCUMENT_FILE, CONVERSATION_FILE))
    layout = choose_for(config.is_encoder_decoder, options.get("layout", "auto"))
    tokenizer.choose_layout(**options | {"layout": layout})
    return Ruler(tokenizer, settings.max_length or positions, f"the tokenizer of {settings.model}")


def learn_tokenizer(texts: Iterable[str], *, vocab_size: int = VOCABULARY) -> ConversationTokenizer:
    """Learn a vocabulary from the first `LEARNED_FROM` characters of texts; the trainer uses the whole texts."""

    def beginning() -> Iterator[str]:
        seen = 0
        for text in texts:
            yield text
            seen += len(text)
            if seen >= LEARNED_FROM:
                return

    return ConversationTokenizer.learn(beginning(), vocab_size)

"""Text in, ordinary token ids out: whatever a text says, it never becomes a control token."""

import json
import secrets
from collections.abc import Sequence
from typing import Any, cast

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase


class TextEncoder:
    """Encodes many texts in one call into the Rust tokenizer, and keeps control tokens out of them.

    A private copy of the Rust tokenizer is used, so neither truncation nor padding set elsewhere, nor another thread,
    changes what a text becomes. A tokenizer without a Rust part goes through transformers.

    Args:
        tokenizer: any transformers tokenizer. Tokens added to it later are not seen.
        control_ids: the ids that no text may become.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, control_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._control_ids = frozenset(control_ids)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        self._rust = None if backend is None else _private_copy(backend.to_str())
        self._guarded: Tokenizer | None = None

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Encodes texts.

        Raises:
            ValueError: when the tokenizer can only express a text with a control token.
        """
        if not texts:
            return []
        if self._rust is None:
            encoded = self._encode_slowly(texts)
        else:
            encoded = [e.ids for e in self._rust.encode_batch_fast(list(texts), add_special_tokens=False)]
        clean = self._control_ids.isdisjoint
        return [ids if clean(ids) else self._encode_guarded(text) for text, ids in zip(texts, encoded, strict=True)]

    def _encode_slowly(self, texts: Sequence[str]) -> list[list[int]]:
        batch = self._tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)
        return cast(list[list[int]], batch["input_ids"])

    def _encode_guarded(self, text: str) -> list[int]:
        """Encodes a text that became a control token although special tokens are split.

        Some vocabularies hold control tokens as ordinary words (word-level and unigram models): here they are encoded
        by a copy from whose vocabulary those words were taken.
        """
        if self._rust is not None:
            if self._guarded is None:
                names = {cast(str, self._tokenizer.convert_ids_to_tokens(i)) for i in self._control_ids}
                self._guarded = _private_copy(_without_words(self._rust.to_str(), names))
            ids: list[int] = self._guarded.encode(text, add_special_tokens=False).ids
            if self._control_ids.isdisjoint(ids):
                return ids
        raise ValueError(
            f"the tokenizer turns {text[:60]!r} into a control token, so a text could forge a turn; "
            "use a tokenizer whose unknown token is not its separator"
        )


def _private_copy(serialized: str) -> Tokenizer:
    copy = Tokenizer.from_str(serialized)
    copy.encode_special_tokens = True
    copy.no_truncation()
    copy.no_padding()
    return copy


def _without_words(serialized: str, words: set[str]) -> str:
    """A serialized tokenizer in which no text can become one of `words`; all ids stay where they are.

    The words get names that nobody can know, so they keep their places in the vocabulary and are never met.
    """
    spec: dict[str, Any] = json.loads(serialized)
    model = spec["model"]
    words = words - {model.get("unk_token")}  # it must be there; what becomes it is refused by the caller
    unmeetable = {word: f"\x00{secrets.token_hex(16)}" for word in words}
    if isinstance(model["vocab"], list):
        model["vocab"] = [
            [unmeetable[piece], -1e6] if piece in words else [piece, score] for piece, score in model["vocab"]
        ]
    else:
        model["vocab"] = {unmeetable.get(word, word): i for word, i in model["vocab"].items()}
        if "merges" in model:
            model["merges"] = [merge for merge in model["merges"] if "".join(merge) not in words]
    spec["added_tokens"] = [token for token in spec["added_tokens"] if token["content"] not in words]
    spec["post_processor"] = None
    return json.dumps(spec)

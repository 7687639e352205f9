"""Encode prompts and metas as token ids, laid out for a model that writes documents."""

import os
from collections.abc import Sequence
from typing import Any

from convmodel.data.document import check_meta, format_meta
from convmodel.data.prompts import check_prompt
from convmodel.tokens.document_layout import lay_out_document
from convmodel.tokens.text_tokenizer import TextTokenizer


class DocumentEncoding(dict[str, list[int]]):
    """`input_ids` and `attention_mask` of a document to continue, each a list of T integers.

    `tokens_dropped` counts the prompt's oldest tokens that were dropped, `meta_tokens_dropped` the meta's last ones.
    """

    def __init__(self, ids: list[int], *, tokens_dropped: int = 0, meta_tokens_dropped: int = 0) -> None:
        super().__init__(input_ids=ids, attention_mask=[1] * len(ids))
        self.tokens_dropped = tokens_dropped
        self.meta_tokens_dropped = meta_tokens_dropped


class DocumentTokenizer(TextTokenizer):
    """Tokenizer of a document model, with the layout `<sep> meta <sep> prompt`; see docs/documents.md, `TextTokenizer`.

    Example:
        >>> tokenizer = DocumentTokenizer.from_pretrained("gpt2")
        >>> tokenizer("Hello", meta="Cats")["input_ids"]
        [50256, 34, 1381, 50256, 15496]
    """

    def __call__(
        self, prompt: str = "", *, meta: Any = None, max_length: int | None = None, max_meta_length: int | None = None
    ) -> DocumentEncoding:
        """Encode the beginning of a document, ready to be continued.

        Raises TypeError for a prompt that is not a text, or a meta of a wrong type, and ValueError for an invalid
        prompt or meta, or a meta that leaves no room.

        Args:
            prompt: beginning of the document; may be empty.
            meta: metadata of the document; see `check_meta`.
            max_length: maximum number of tokens; the prompt's oldest tokens are dropped.
            max_meta_length: maximum number of tokens of the meta; the rest is cut from its end.
        """
        ids, prompt_ids = self.encode_many([format_meta(check_meta(meta)), check_prompt(prompt)])
        kept = ids if max_meta_length is None else ids[:max_meta_length]
        room = None if max_length is None else max_length - 2 - len(kept)
        if room is not None and room < min(1, len(prompt_ids)):
            raise ValueError(
                f"max_length={max_length} leaves no room for a prompt beside two separators and the meta's {len(kept)} "
                f"tokens; use max_length >= {len(kept) + 2 + min(1, len(prompt_ids))}, or a shorter meta"
            )
        return self.encode_ids(prompt_ids, meta=kept, room=room, meta_tokens_dropped=len(ids) - len(kept))

    def encode_ids(
        self, prompt: Sequence[int], *, meta: Sequence[int] = (), room: int | None = None, meta_tokens_dropped: int = 0
    ) -> DocumentEncoding:
        """Lay out the last `room` tokens of a prompt after a meta that is already cut; None keeps all tokens."""
        dropped = 0 if room is None else max(0, len(prompt) - room)
        ids = lay_out_document(meta, prompt[dropped:], self.sep_token_id, ends=False).input_ids.tolist()
        return DocumentEncoding(ids, tokens_dropped=dropped, meta_tokens_dropped=meta_tokens_dropped)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Save the transformers tokenizer without a chat template, because documents are not chats."""
        self.hf_tokenizer.chat_template = None
        super().save_pretrained(folder)

"""Prompts and metas in, token ids out, laid out for a model that writes documents."""

import os
from collections.abc import Sequence
from typing import Any

from convmodel.data.document import check_meta, meta_text
from convmodel.data.prompts import check_prompt
from convmodel.tokens.document_layout import lay_out
from convmodel.tokens.text_tokenizer import TextTokenizer


class DocumentEncoding(dict[str, list[int]]):
    """`input_ids` and `attention_mask` of one document that is to be gone on with, each a list of T integers.

    Args:
        tokens_dropped: how many of the prompt's oldest tokens were left out.
        meta_tokens_dropped: how many of the meta's last tokens were.
    """

    tokens_dropped: int
    meta_tokens_dropped: int

    def __init__(self, ids: list[int], *, tokens_dropped: int = 0, meta_tokens_dropped: int = 0) -> None:
        super().__init__(input_ids=ids, attention_mask=[1] * len(ids))
        self.tokens_dropped = tokens_dropped
        self.meta_tokens_dropped = meta_tokens_dropped


class DocumentTokenizer(TextTokenizer):
    """Lays documents out: `<sep> meta <sep> prompt`; see docs/documents.md for the picture.

    What it wraps and which token separates: see `TextTokenizer`.

    Example:
        >>> tokenizer = DocumentTokenizer.from_pretrained("gpt2")
        >>> tokenizer("Hello", meta="Cats")["input_ids"]
        [50256, 34, 1381, 50256, 15496]
    """

    def __call__(
        self,
        prompt: str = "",
        *,
        meta: Any = None,
        max_length: int | None = None,
        max_meta_length: int | None = None,
    ) -> DocumentEncoding:
        """Lays out what is to be gone on with.

        Args:
            prompt: how the document begins; may be empty.
            meta: what is known of it; see `check_meta`.
            max_length: tokens at most; the prompt's oldest tokens are left out.
            max_meta_length: tokens of the meta at most; the rest is cut from its end.

        Raises:
            TypeError, ValueError: for a prompt or a meta that is no text, or a meta that leaves no room.
        """
        ids, prompt_ids = self.encode_many([meta_text(check_meta(meta)), check_prompt(prompt)])
        kept = ids if max_meta_length is None else ids[:max_meta_length]
        room = None if max_length is None else max_length - 2 - len(kept)
        if room is not None and room < min(1, len(prompt_ids)):
            raise ValueError(
                f"max_length={max_length} leaves no room for a prompt beside two separators and the meta's {len(kept)} "
                f"tokens; use max_length >= {len(kept) + 2 + min(1, len(prompt_ids))}, or a shorter meta"
            )
        return self.arrange(prompt_ids, meta=kept, room=room, meta_tokens_dropped=len(ids) - len(kept))

    def arrange(
        self,
        prompt: Sequence[int],
        *,
        meta: Sequence[int] = (),
        room: int | None = None,
        meta_tokens_dropped: int = 0,
    ) -> DocumentEncoding:
        """The same from ids.

        Args:
            prompt: its ids.
            meta: its ids, as many as stand there.
            room: how many of the prompt's last tokens are kept; all, when left out.
            meta_tokens_dropped: how many of the meta do not stand there.
        """
        dropped = 0 if room is None else max(0, len(prompt) - room)
        ids = lay_out(meta, prompt[dropped:], self.sep_token_id, ends=False).input_ids.tolist()
        return DocumentEncoding(ids, tokens_dropped=dropped, meta_tokens_dropped=meta_tokens_dropped)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Saves the transformers tokenizer without a chat template: documents are no chat."""
        self.hf_tokenizer.chat_template = None
        super().save_pretrained(folder)

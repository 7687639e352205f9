"""Texts in, token ids out, and back; no text becomes a separator or another control token."""

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Self, TypeVar

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from convmodel.text_encoder import TextEncoder
from convmodel.text_stream import decode

SEP_TOKEN = "<sep>"
SPEAKER_TOKENS = ("<speaker0>", "<speaker1>")
"""The first two tokens of a learned vocabulary: a GPT-2 looks types 0 and 1 up in the rows of tokens 0 and 1."""


class TextTokenizer:
    """Makes ids of texts that are laid out between separators.

    The separator is the tokenizer's own `sep_token`; without one, its end-of-text token; with neither, `<sep>` is added
    to `tokenizer` as a special token.

    Args:
        tokenizer: any transformers tokenizer; special tokens that it adds by itself are left out.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if isinstance(tokenizer, str):
            raise TypeError(f"got the name {tokenizer!r}; use {type(self).__name__}.from_pretrained({tokenizer!r})")
        self._hf_tokenizer = tokenizer
        self._sep_token, self._sep_token_id = _separator(tokenizer)

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **options: Any) -> Self:
        """Loads a transformers tokenizer by Hub name or folder; `options` go to AutoTokenizer."""
        return cls(AutoTokenizer.from_pretrained(os.fspath(name_or_path), **options))

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int) -> Self:
        """Learns a byte-level BPE vocabulary that can write every text.

        Args:
            texts: what to learn from; read once, not kept.
            vocab_size: tokens at most; fewer when the texts do not give as many.

        Raises:
            ValueError: when `vocab_size` does not hold the 256 bytes and the control tokens.
        """
        control = [*SPEAKER_TOKENS, SEP_TOKEN]
        if vocab_size < 256 + len(control):
            raise ValueError(
                f"vocab_size={vocab_size}; at least {256 + len(control)} are needed: bytes and control tokens"
            )
        rust = Tokenizer(models.BPE())
        rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        rust.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[AddedToken(token, special=True, normalized=False) for token in control],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        rust.train_from_iterator(texts, trainer)
        return cls(
            PreTrainedTokenizerFast(
                tokenizer_object=rust,
                sep_token=SEP_TOKEN,
                bos_token=SEP_TOKEN,
                eos_token=SEP_TOKEN,
                pad_token=SEP_TOKEN,
                additional_special_tokens=list(SPEAKER_TOKENS),
                clean_up_tokenization_spaces=False,
            )
        )

    @property
    def hf_tokenizer(self) -> PreTrainedTokenizerBase:
        """The wrapped transformers tokenizer."""
        return self._hf_tokenizer

    @property
    def sep_token(self) -> str:
        """The text of the separator."""
        return self._sep_token

    @property
    def sep_token_id(self) -> int:
        """The id of the separator."""
        return self._sep_token_id

    def __len__(self) -> int:
        """How many rows an embedding table must have."""
        return max(self._hf_tokenizer.get_vocab().values()) + 1  # ids may have gaps: not the number of tokens

    @cached_property
    def _encode_texts(self) -> TextEncoder:
        added = self._hf_tokenizer.added_tokens_decoder.items()
        control = {*self._hf_tokenizer.all_special_ids, *(i for i, token in added if token.special)}
        control.discard(self._hf_tokenizer.unk_token_id)  # what a text cannot say otherwise; never the separator
        return TextEncoder(self._hf_tokenizer, [*control, self._sep_token_id])

    def encode(self, text: str) -> list[int]:
        """The ids of one text, without separators. Control tokens' strings in it become ordinary tokens."""
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """As `encode` for many texts, in one call into the Rust tokenizer: several times faster than one by one."""
        if isinstance(texts, str):
            raise TypeError(f"got one text {texts[:40]!r}; put it in a list, or call encode")
        return self._encode_texts(texts)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; control tokens are left out."""
        return decode(self._hf_tokenizer, ids)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Saves the transformers tokenizer; the separator is the same id after reloading."""
        self._hf_tokenizer.save_pretrained(os.fspath(folder))


AnyTokenizer = TypeVar("AnyTokenizer", bound=TextTokenizer)


def _separator(tokenizer: PreTrainedTokenizerBase) -> tuple[str, int]:
    """The separator's text and id, from the tokenizer's own tokens or a newly added one."""
    vocabulary = tokenizer.get_vocab()
    for token in (tokenizer.sep_token, tokenizer.eos_token):
        # A name that was assigned but never added stands for the unknown token: it is no token of its own.
        if token is not None and str(token) in vocabulary:
            return str(token), vocabulary[str(token)]
        if token is not None and token == tokenizer.sep_token:
            tokenizer.add_special_tokens({"sep_token": str(token)})
            return str(token), tokenizer.get_vocab()[str(token)]
    tokenizer.add_special_tokens({"sep_token": SEP_TOKEN})
    return SEP_TOKEN, tokenizer.get_vocab()[SEP_TOKEN]

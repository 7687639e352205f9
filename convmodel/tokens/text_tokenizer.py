"""Encode texts as token ids, and decode them; no text becomes a separator or another control token."""

import json
import os
import secrets
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Self, TypeVar, cast

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from convmodel.tokens.tokenizer_files import load_tokenizer


class TextEncoder:
    """Encoder of many texts in one call into the Rust tokenizer, that never encodes text as one of `control_ids`.

    The encoder has a private copy of the Rust tokenizer, so neither truncation nor padding set elsewhere, nor another
    thread, changes its results; tokens added later are not seen. A tokenizer without a Rust backend is called through
    transformers.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, control_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._control_ids = frozenset(control_ids)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        self._rust = None if backend is None else _private_copy(backend.to_str())
        self._guarded: Tokenizer | None = None

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text; raise ValueError if only a control token can express one."""
        if not texts:
            return []
        encoded: list[list[int]]
        if self._rust is None:
            encoded = self._tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"]
        else:
            encoded = [encoding.ids for encoding in self._rust.encode_batch_fast(list(texts), add_special_tokens=False)]
        is_clean = self._control_ids.isdisjoint
        return [ids if is_clean(ids) else self._encode_guarded(text) for text, ids in zip(texts, encoded, strict=True)]

    def _encode_guarded(self, text: str) -> list[int]:
        """Encode a text that became a control token although special tokens are split.

        Some vocabularies (of word-level and unigram models) contain control tokens as ordinary words. Such texts are
        encoded by a copy of the tokenizer without those words.
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
    """Return a serialized tokenizer in which no text can become one of `words`; all ids stay the same.

    The words get secret random names, so they keep their positions in the vocabulary but match no text.
    """
    spec: dict[str, Any] = json.loads(serialized)
    model = spec["model"]
    words = words - {model.get("unk_token")}  # the model requires it; the caller refuses texts that become it
    secret_names = {word: f"\x00{secrets.token_hex(16)}" for word in words}
    if isinstance(model["vocab"], list):
        model["vocab"] = [
            [secret_names[piece], -1e6] if piece in words else [piece, score] for piece, score in model["vocab"]
        ]
    else:
        model["vocab"] = {secret_names.get(word, word): i for word, i in model["vocab"].items()}
        if "merges" in model:
            model["merges"] = [merge for merge in model["merges"] if "".join(merge) not in words]
    spec["added_tokens"] = [token for token in spec["added_tokens"] if token["content"] not in words]
    spec["post_processor"] = None
    return json.dumps(spec)


NEWLINE_TOKEN = "__newln__"
"""The ordinary token with which BlenderBot small separates turns."""

SEP_TOKEN = "<sep>"
SPEAKER_TOKEN = "<speaker{}>"
"""The first tokens of a learned vocabulary: GPT-2 looks up types 0, 1, ... in the embeddings of tokens 0, 1, ..."""


class TextTokenizer:
    """Tokenizer of texts, with a separator to lay them out.

    The separator is the tokenizer's own `sep_token`; without one, its end-of-text token; with neither, `<sep>` is added
    to `tokenizer` as a special token.

    Args:
        tokenizer: any transformers tokenizer; special tokens that it adds by itself are left out.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if isinstance(tokenizer, str):
            raise TypeError(f"got the name {tokenizer!r}; use {type(self).__name__}.from_pretrained({tokenizer!r})")
        self.hf_tokenizer = tokenizer
        self.sep_token, self.sep_token_id = _separator(tokenizer)

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **options: Any) -> Self:
        """Load a transformers tokenizer by Hub name or folder; see `load_tokenizer` for `options` and errors."""
        return cls(load_tokenizer(name_or_path, **options))

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int) -> Self:
        """Learn a byte-level BPE vocabulary of at most `vocab_size` tokens that can encode every text.

        The texts are read once. If they are few, the vocabulary may be smaller. Raises ValueError if `vocab_size`
        has no room for the 256 bytes and the control tokens.
        """
        return cls._learn(texts, vocab_size, max_speakers=2)

    @classmethod
    def _learn(cls, texts: Iterable[str], vocab_size: int, *, max_speakers: int) -> Self:
        speakers = [SPEAKER_TOKEN.format(number) for number in range(max_speakers)]
        control = [*speakers, SEP_TOKEN]
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
                additional_special_tokens=speakers,
                clean_up_tokenization_spaces=False,
            )
        )

    def __len__(self) -> int:
        """Return the number of rows that an embedding table needs."""
        return max(self.hf_tokenizer.get_vocab().values()) + 1  # ids may have gaps: not the number of tokens

    @property
    def end_token_ids(self) -> tuple[int, ...]:
        """Ids of the tokens that end a text; the first of them is the one that is written."""
        return (self.sep_token_id,)

    @property
    def special_token_ids(self) -> dict[str, int | None]:
        """Special token ids for a model's configuration, by the name of the setting."""
        # Padding is marked by masks and labels; with a padding id, the ends of turns would be taken for padding.
        return {"bos_token_id": self.sep_token_id, "eos_token_id": self.sep_token_id, "pad_token_id": None}

    @property
    def control_ids(self) -> set[int]:
        """Ids of the control tokens, to which text is never encoded: special tokens and those in the chat template."""
        template = str(self.hf_tokenizer.chat_template or "")
        added = self.hf_tokenizer.added_tokens_decoder.items()
        control = {i for i, token in added if token.special or token.content in template}
        control.update(self.hf_tokenizer.all_special_ids)
        control.update(i for i in [self.hf_tokenizer.get_vocab().get(NEWLINE_TOKEN)] if i is not None)
        control.discard(self.hf_tokenizer.unk_token_id)  # texts need the unknown token, unless it is the separator
        return control | {self.sep_token_id}

    @cached_property
    def _encode_texts(self) -> TextEncoder:
        return TextEncoder(self.hf_tokenizer, [*self.control_ids])

    def encode(self, text: str) -> list[int]:
        """Return the token ids of one text, without separators; names of control tokens become ordinary tokens."""
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts in one call into the Rust tokenizer, several times faster than one by one."""
        if isinstance(texts, str):
            raise TypeError(f"got one text {texts[:40]!r}; put it in a list, or call encode")
        return self._encode_texts(texts)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, without control tokens."""
        return decode(self.hf_tokenizer, ids)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Save the transformers tokenizer; the separator has the same id after reloading."""
        self.hf_tokenizer.save_pretrained(os.fspath(folder))


AnyTokenizer = TypeVar("AnyTokenizer", bound=TextTokenizer)


def _separator(tokenizer: PreTrainedTokenizerBase) -> tuple[str, int]:
    """Return the separator's text and id, which is one of the tokenizer's own tokens or is added to it."""
    vocabulary = tokenizer.get_vocab()
    for token in (tokenizer.sep_token, tokenizer.eos_token):
        # A name that was assigned but never added has the id of the unknown token.
        if token is not None and str(token) in vocabulary:
            return str(token), vocabulary[str(token)]
        if token is not None and token == tokenizer.sep_token:
            tokenizer.add_special_tokens({"sep_token": str(token)})
            return str(token), tokenizer.get_vocab()[str(token)]
    tokenizer.add_special_tokens({"sep_token": SEP_TOKEN})
    return SEP_TOKEN, tokenizer.get_vocab()[SEP_TOKEN]


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Return the text of token ids, without control tokens."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text

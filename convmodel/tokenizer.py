"""Turns in, token ids out, with separators and token-type ids; knows nothing of tensors."""

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from convmodel.conversation import check_turns
from convmodel.layout import Window, fit_in_steps, lay_out, persona_length, room_for_turns
from convmodel.text_encoder import TextEncoder
from convmodel.text_stream import decode

SEP_TOKEN = "<sep>"
SPEAKER_TOKENS = ("<speaker0>", "<speaker1>")
"""The first two tokens of a learned vocabulary: a GPT-2 looks types 0 and 1 up in the rows of tokens 0 and 1."""


class Encoding(dict[str, list[int]]):
    """`input_ids`, `token_type_ids` and `attention_mask` of one conversation, each a list of T integers.

    Args:
        turns_dropped: how many of the oldest turns were left out to fit `max_length`.
        tokens_dropped: how many tokens (without separators) went with them or were cut from the newest turn.
    """

    turns_dropped: int
    tokens_dropped: int

    def __init__(self, values: dict[str, list[int]], *, turns_dropped: int = 0, tokens_dropped: int = 0) -> None:
        super().__init__(values)
        self.turns_dropped = turns_dropped
        self.tokens_dropped = tokens_dropped


class ConversationTokenizer:
    """Lays a conversation out for a conversation model; see docs/layout.md for the picture.

    The separator is the tokenizer's own `sep_token`; without one, its end-of-text token; with neither, `<sep>` is added
    to `tokenizer` as a special token.

    Args:
        tokenizer: any transformers tokenizer; special tokens that it adds by itself are left out.

    Example:
        >>> tokenizer = ConversationTokenizer.from_pretrained("gpt2")
        >>> tokenizer(["Hello", "How are you"])["input_ids"]
        [50256, 15496, 50256, 2437, 389, 345, 50256]
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if isinstance(tokenizer, str):
            raise TypeError(f"got the name {tokenizer!r}; use ConversationTokenizer.from_pretrained({tokenizer!r})")
        self._hf_tokenizer = tokenizer
        self._sep_token, self._sep_token_id = _separator(tokenizer)

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **options: Any) -> "ConversationTokenizer":
        """Loads a transformers tokenizer by Hub name or folder; `options` go to AutoTokenizer."""
        return cls(AutoTokenizer.from_pretrained(os.fspath(name_or_path), **options))

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int) -> "ConversationTokenizer":
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

    def __call__(self, turns: Sequence[str], *, persona: Sequence[str] = (), max_length: int | None = None) -> Encoding:
        """Lays out a context, ready for its reply.

        Args:
            turns: the turns so far, oldest first.
            persona: sentences that describe the speaker who replies; never dropped.
            max_length: tokens at most. Whole oldest turns go first; the newest turn is cut from its start only when it
                alone is too long. The result's `turns_dropped` and `tokens_dropped` tell what went.

        Raises:
            TypeError, ValueError: when a turn is missing, empty or no text, or the persona leaves no room for a turn.
        """
        turns = check_turns(turns)
        persona = check_turns(persona, what="persona sentence")
        encoded = self.encode_many([*persona, *turns])
        return self.arrange(encoded[len(persona) :], persona=encoded[: len(persona)], max_length=max_length)

    def arrange(
        self,
        turns: Sequence[Sequence[int]],
        *,
        persona: Sequence[Sequence[int]] = (),
        max_length: int | None = None,
        keep: float = 1.0,
    ) -> Encoding:
        """As calling it, from ids: of texts as `encode` gives them, or of replies as a model wrote them.

        Args:
            turns: ids of each turn, at least one.
            persona: ids of each sentence.
            max_length: tokens at most.
            keep: below 1, turns are left out in larger steps; see `layout.fit_in_steps`.

        Raises:
            ValueError: when the persona leaves no room for a turn.
        """
        window = Window(0, 0, len(turns))
        if max_length is not None:
            room = room_for_turns(persona_length(persona), max_length)
            window = fit_in_steps([len(ids) for ids in turns], room, keep=keep)
        kept = list(turns[window.first :])
        kept[-1] = kept[-1][window.cut :]
        laid_out = lay_out(kept, self._sep_token_id, persona=persona)
        return Encoding(
            {
                "input_ids": laid_out.input_ids,
                "token_type_ids": laid_out.token_type_ids,
                "attention_mask": [1] * len(laid_out.input_ids),
            },
            turns_dropped=window.first,
            tokens_dropped=window.cut + sum(map(len, turns[: window.first])),
        )

    def chat_template(self) -> str:
        """A Jinja template that gives the layout's input_ids for `messages`; system messages are persona sentences.

        It carries no token-type ids and, as every chat template, does not keep control tokens out of the texts.
        """
        sep = "{{- " + repr(self._sep_token) + " -}}"
        return (
            "{%- for message in messages -%}" + sep + "{%- if message.role == 'assistant' -%}"
            "{% generation %}{{- message.content -}}{% endgeneration %}"
            "{%- else -%}{{- message.content -}}{%- endif -%}{%- endfor -%}"
            "{%- if add_generation_prompt -%}" + sep + "{%- endif -%}"
        )

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Saves the transformers tokenizer with the chat template; the separator is the same id after reloading."""
        self._hf_tokenizer.chat_template = self.chat_template()
        self._hf_tokenizer.save_pretrained(os.fspath(folder))


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

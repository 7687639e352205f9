"""Turns in, token ids out, with separators and token-type ids; knows nothing of tensors."""

import os
from collections.abc import Sequence

from convmodel.data.conversation import check_turns
from convmodel.tokens.conversation_layout import lay_out_context
from convmodel.tokens.text_tokenizer import TextTokenizer


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


class ConversationTokenizer(TextTokenizer):
    """Lays a conversation out for a conversation model; see docs/layout.md for the picture.

    What it wraps and which token separates: see `TextTokenizer`.

    Example:
        >>> tokenizer = ConversationTokenizer.from_pretrained("gpt2")
        >>> tokenizer(["Hello", "How are you"])["input_ids"]
        [50256, 15496, 50256, 2437, 389, 345, 50256]
    """

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
        return self.encode_ids(encoded[len(persona) :], persona=encoded[: len(persona)], max_length=max_length)

    def encode_ids(
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
            keep: below 1, turns are left out in larger steps; see `layout.truncate_with_hysteresis`.

        Raises:
            ValueError: when the persona leaves no room for a turn.
        """
        laid_out, window = lay_out_context(turns, self._sep_token_id, persona=persona, max_length=max_length, keep=keep)
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
        super().save_pretrained(folder)

"""Encode conversations as token ids with separators and token types, as lists without tensors."""

import os
from collections.abc import Sequence

from convmodel.data.conversation import check_turns
from convmodel.data.messages import ROLES
from convmodel.tokens.conversation_layout import lay_out_context
from convmodel.tokens.text_tokenizer import TextTokenizer

CHAT_TEMPLATE = "".join(
    """
{%- set names = NAMES -%}
{%- macro text(message) -%}
{%- if message.content is string -%}
{{- message.content -}}
{%- elif message.content -%}
{%- for part in message.content -%}
{{- '' if loop.first else '\\n' -}}
{{- part.text -}}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- set kept = namespace(role='') -%}
{%- for message in messages if message.role | trim | lower in names.system -%}
{%- for line in text(message).splitlines() if line | trim -%}
{{- SEPARATOR + line | trim -}}
{%- endfor -%}
{%- endfor -%}
{%- for message in messages -%}
{%- set role = message.role | trim | lower -%}
{%- set said = text(message) -%}
{%- set is_user = role in names.user -%}
{%- if said | trim and (is_user or role in names.assistant) -%}
{%- set begin = '\\n' if kept.role == is_user else '' -%}
{{- '' if begin else SEPARATOR -}}
{%- set kept.role = is_user -%}
{%- if is_user -%}
{{- begin + said -}}
{%- else -%}
{% generation %}
{{- begin + said -}}
{% endgeneration %}
{%- endif -%}
{%- elif is_user -%}
{{- raise_exception('a message of the user is empty; remove it or give it text') -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- SEPARATOR -}}
{%- endif -%}
""".splitlines()
)
"""The rules of `convmodel.data.messages` in Jinja; NAMES and SEPARATOR are replaced."""


class Encoding(dict[str, list[int]]):
    """`input_ids`, `token_type_ids` and `attention_mask` of one conversation, each a list of T integers.

    Args:
        turns_dropped: number of the oldest turns that were dropped to fit `max_length`.
        tokens_dropped: number of tokens (without separators) of the dropped turns, or cut from the newest turn.
    """

    def __init__(self, values: dict[str, list[int]], *, turns_dropped: int = 0, tokens_dropped: int = 0) -> None:
        super().__init__(values)
        self.turns_dropped = turns_dropped
        self.tokens_dropped = tokens_dropped


class ConversationTokenizer(TextTokenizer):
    """Tokenizer of a conversation model; see docs/layout.md for a picture of the layout, and `TextTokenizer`.

    Example:
        >>> tokenizer = ConversationTokenizer.from_pretrained("gpt2")
        >>> tokenizer(["Hello", "How are you"])["input_ids"]
        [50256, 15496, 50256, 2437, 389, 345, 50256]
    """

    def __call__(self, turns: Sequence[str], *, persona: Sequence[str] = (), max_length: int | None = None) -> Encoding:
        """Encode a context, ready for its reply.

        Raises TypeError if a turn or persona sentence is not a text, and ValueError if a turn is missing or empty, or
        the persona leaves no room for a turn.

        Args:
            turns: the turns so far, oldest first.
            persona: sentences that describe the speaker who replies; never dropped.
            max_length: maximum number of tokens. Whole turns are dropped, oldest first, and counted in the result; the
                newest turn is cut from its start only when it alone is too long.
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
        """Lay out token ids of turns and persona sentences: those that `encode` returns, or that a model generated.

        `keep` is that of `truncate_with_hysteresis`. Raises ValueError as calling the tokenizer does.
        """
        laid_out, window = lay_out_context(turns, self.sep_token_id, persona=persona, max_length=max_length, keep=keep)
        ids = laid_out.input_ids
        values = {"input_ids": ids, "token_type_ids": laid_out.token_type_ids, "attention_mask": [1] * len(ids)}
        tokens_dropped = window.cut + sum(map(len, turns[: window.first]))
        return Encoding(values, turns_dropped=window.first, tokens_dropped=tokens_dropped)

    def chat_template(self) -> str:
        """Return a Jinja template that gives the layout's input_ids for `messages`, by the rules of `split_messages`.

        The template has no token types and, like every chat template, does not keep control tokens out of the texts.
        """
        names = {kind: [role for role, of in ROLES.items() if of == kind] for kind in ("system", "user", "assistant")}
        return CHAT_TEMPLATE.replace("NAMES", repr(names)).replace("SEPARATOR", repr(self.sep_token))

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Save the transformers tokenizer with the chat template; the separator has the same id after reloading."""
        self.hf_tokenizer.chat_template = self.chat_template()
        super().save_pretrained(folder)

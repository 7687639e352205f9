"""Encode conversations as token ids by a layout: separators with token types, or a chat template."""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

from transformers import PreTrainedTokenizerBase

from convmodel.data.conversation import check_turns
from convmodel.data.messages import ROLES
from convmodel.tokens.chat_template import ChatTemplate
from convmodel.tokens.conversation_layout import ConversationLayout
from convmodel.tokens.encoder_layout import make_encoder_layout
from convmodel.tokens.layout_options import LayoutOptions
from convmodel.tokens.reasoning import find_tags
from convmodel.tokens.separator_layout import SeparatorLayout
from convmodel.tokens.template_layout import TemplateLayout
from convmodel.tokens.text_tokenizer import SPEAKER_TOKEN, TextTokenizer

logger = logging.getLogger(__name__)

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

OWN_BEGINNING = CHAT_TEMPLATE[: CHAT_TEMPLATE.index("NAMES")]
"""The beginning of every chat template that this package has written for its separators."""


class Encoding(dict[str, list[int]]):
    """`input_ids`, `attention_mask` and, if the layout has them, `token_type_ids` of one conversation.

    Each is a list of T integers.

    Args:
        turns_dropped: number of the oldest turns that were dropped to fit `max_length`.
        tokens_dropped: number of tokens of the dropped turns' texts, or cut from the newest turn.
    """

    def __init__(self, values: dict[str, list[int]], *, turns_dropped: int = 0, tokens_dropped: int = 0) -> None:
        super().__init__(values)
        self.turns_dropped = turns_dropped
        self.tokens_dropped = tokens_dropped


class ConversationTokenizer(TextTokenizer):
    """Tokenizer of a conversation model with its layout; see docs/layout.md for a picture, and `TextTokenizer`.

    Args:
        tokenizer: see `TextTokenizer`.
        options: the options of the layout.

    Example:
        >>> tokenizer = ConversationTokenizer.from_pretrained("gpt2")
        >>> tokenizer(["Hello", "How are you"])["input_ids"]
        [50256, 15496, 50256, 2437, 389, 345, 50256]
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, options: LayoutOptions = LayoutOptions()) -> None:  # noqa: B008
        super().__init__(tokenizer)
        self.layout_options = options

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int, *, max_speakers: int = 2) -> Self:
        """Learn a vocabulary with a control token for each of `max_speakers` speakers; see `TextTokenizer.learn`."""
        return cls._learn(texts, vocab_size, max_speakers=max_speakers)

    def choose_layout(self, **options: Any) -> None:
        """Change options of the layout; see `LayoutOptions`."""
        chosen = replace(self.layout_options, **options)
        if chosen != self.layout_options:
            self.layout_options = chosen
            vars(self).pop("layout", None)

    @property
    def has_own_template(self) -> bool:
        """Whether the tokenizer has a chat template that this package has not written for its separators."""
        template = self.hf_tokenizer.chat_template
        return bool(template) and not str(template).startswith(OWN_BEGINNING)

    @cached_property
    def layout(self) -> ConversationLayout:
        """The layout. Raises ValueError when the chat template is missing or cannot lay out a conversation."""
        options = self.layout_options
        if options.layout == "encoder":
            return make_encoder_layout(self)
        if options.layout == "separators" or (options.layout == "auto" and not self.has_own_template):
            return self._separators()
        if not self.has_own_template:
            raise ValueError(
                "layout='chat_template', but the tokenizer has no chat template of its own; give it one "
                "(chat_template.jinja in its folder), or use layout='separators'"
            )
        template = ChatTemplate(self.hf_tokenizer, reasoning=options.reasoning)
        control = {i: str(self.hf_tokenizer.convert_ids_to_tokens(i)) for i in self.control_ids}
        return TemplateLayout(
            template,
            newline_ids=self.encode("\n"),
            control_ids=self.control_ids,
            end_of_text_id=self.hf_tokenizer.eos_token_id,
            reasoning=find_tags(str(self.hf_tokenizer.chat_template), template.opening, control),
        )

    def _separators(self) -> SeparatorLayout:
        """Return the layout of separators. Raises ValueError for more speakers than a learned vocabulary reserves."""
        options = self.layout_options
        layout = SeparatorLayout(
            self.sep_token_id,
            has_types=options.token_types,
            sep_token=self.sep_token,
            max_speakers=options.max_speakers,
        )
        if layout.max_speakers > 2:
            vocabulary = self.hf_tokenizer.get_vocab()
            reserved = list(map(SPEAKER_TOKEN.format, range(layout.max_speakers)))
            found = sum(token in vocabulary for token in reserved)
            if 0 < found < len(reserved):
                raise ValueError(
                    f"max_speakers={len(reserved)}, but the model's vocabulary reserves tokens for {found} speakers; "
                    f"use max_speakers={found}, or train a model from scratch with model.max_speakers={len(reserved)}"
                )
            if not found:
                tokens = self.hf_tokenizer.convert_ids_to_tokens([*range(layout.max_speakers)])
                logger.info("the types of %d speakers are the embeddings of the tokens %s", len(reserved), tokens)
        return layout

    @property
    def end_token_ids(self) -> tuple[int, ...]:
        return self.layout.end_token_ids

    @property
    def special_token_ids(self) -> dict[str, int | None]:
        return super().special_token_ids if self.layout.owns_special_tokens else {}

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
        turn_ids, persona_ids = self.encode_context(turns, persona)
        laid_out, window = self.layout.lay_out_context(turn_ids, persona=persona_ids, max_length=max_length)
        types = {"token_type_ids": laid_out.token_type_ids} if laid_out.token_type_ids else {}
        values = {"input_ids": laid_out.input_ids, **types, "attention_mask": [1] * len(laid_out.input_ids)}
        tokens_dropped = window.cut + sum(map(len, turn_ids[: window.first]))
        return Encoding(values, turns_dropped=window.first, tokens_dropped=tokens_dropped)

    def encode_context(
        self, turns: Sequence[str], persona: Sequence[str] = ()
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Return the token ids of each turn and of each persona sentence; errors as for calling the tokenizer."""
        turns = check_turns(turns)
        persona = check_turns(persona, what="persona sentence")
        encoded = self.encode_turns([*persona, *turns])
        return encoded[len(persona) :], encoded[: len(persona)]

    def encode_turns(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of turns or persona sentences, as the layout writes them."""
        return self.encode_many([*map(self.layout.clean, texts)])

    def encode_replies(self, texts: Sequence[str], *, lead: str = "") -> list[list[int]]:
        """Return the token ids of replies, with the white space `lead` between the given name and the text."""
        return self.encode_many([lead + self.layout.clean(text) for text in texts])

    def chat_template(self) -> str:
        """Return a Jinja template that gives the layout's input_ids for `messages`, by the rules of `split_messages`.

        The template has no token types and, like every chat template, does not keep control tokens out of the texts.
        """
        names = {kind: [role for role, of in ROLES.items() if of == kind] for kind in ("system", "user", "assistant")}
        return CHAT_TEMPLATE.replace("NAMES", repr(names)).replace("SEPARATOR", repr(self.sep_token))

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Save the transformers tokenizer with its own chat template, or with that of the separators."""
        if self.layout.owns_special_tokens:
            self.hf_tokenizer.chat_template = self.chat_template()
        super().save_pretrained(folder)

"""Lay out a context for the encoder of an encoder-decoder model; the decoder writes the reply.

The turns are joined as in the training of the model, and are enclosed in the special tokens that the tokenizer puts
around a text:

    BlenderBot          your persona: I am Ann␣␣ Hello␣␣ How are you</s>
    BlenderBot small    your persona: i am ann __newln__ hello __newln__ how are you
    T5                  I am Ann</s> Hello</s> How are you</s>
    BART                <s>I am Ann</s>Hello</s>How are you</s>
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import BlenderbotSmallTokenizer, BlenderbotTokenizer

from convmodel.tokens.conversation_layout import IGNORED, ConversationLayout, ConversationSequence, Ids, extend
from convmodel.tokens.text_tokenizer import NEWLINE_TOKEN, TextTokenizer
from convmodel.tokens.turn_windows import LayoutCosts

SPACES = "  "
"""The separator of turns in the training of BlenderBot, both in ParlAI and in HF's tokenizers."""

PERSONA = "your persona:"
"""The prefix of a persona sentence in the training of BlenderBot."""


@dataclass(frozen=True, slots=True)
class EncoderWords:
    """Token ids that the layout adds: before and after all texts, between texts, and before each persona sentence."""

    begin: tuple[int, ...]
    end: tuple[int, ...]
    between: tuple[int, ...]
    sentence: tuple[int, ...] = ()


class EncoderLayout(ConversationLayout):
    """Layout of joined persona sentences and turns; see the module. Nothing is predicted: the decoder writes the reply.

    Args:
        words: the ids that are added to the texts.
        end_token_id: the token that ends a reply.
        joins_by_space: whether white space separates the turns; white space in a text is then reduced to single spaces.
    """

    name = "encoder"
    owns_special_tokens = False

    def __init__(self, words: EncoderWords, *, end_token_id: int, pad_token_id: int, joins_by_space: bool) -> None:
        self._words = words
        self._joins_by_space = joins_by_space
        between = len(words.between)
        self.costs = LayoutCosts(
            turn=(between, between),
            sentence=len(words.sentence) + between,
            edges=np.full((2, 2, 2, 2), len(words.begin) + len(words.end) - between),
            noun="the encoder's own tokens",
        )
        self.end_token_ids = (end_token_id,)
        self.pad_token_id = pad_token_id
        separator = "white space" if joins_by_space else "a separator"
        self.description = f"The encoder reads persona sentences and turns, with {separator} between them."

    def clean(self, text: str) -> str:
        return " ".join(text.split()) if self._joins_by_space else text

    def lay_out(
        self,
        turns: Sequence[Ids],
        *,
        persona: Sequence[Ids] = (),
        last_is_reply: bool = False,
        predicted: Sequence[bool] | None = None,
        cut: int = 0,
        speakers: Sequence[int] | None = None,
    ) -> ConversationSequence:
        turns = [*turns[:-1], *(turn[cut:] for turn in turns[-1:])]
        ids = [*self._words.begin]
        for sentence in persona:
            ids += [*self._words.sentence, *sentence, *self._words.between]
        metadata = len(ids)
        spans: list[tuple[int, int]] = []
        for turn in turns:
            if spans:
                ids += self._words.between
            spans.append((len(ids), len(ids) + len(turn)))
            ids += turn
        ids += self._words.end
        return ConversationSequence(ids, [], [IGNORED] * len(ids), metadata, spans)

    def append_reply(self, context: ConversationSequence, reply: Ids) -> ConversationSequence:
        """Return a context followed by the tokens of a reply, which the decoder is to write.

        The reply begins with the tokens that the tokenizer puts before a text: `<s>` for BART.
        """
        return extend(context, [*self._words.begin, *reply, *self.end_token_ids], reply)


def make_encoder_layout(tokenizer: TextTokenizer) -> EncoderLayout:
    """Return the layout for the encoder of a tokenizer's model."""
    own: Any = tokenizer.hf_tokenizer
    around = tuple(own("")["input_ids"])
    has_end = around[-1:] and around[-1] in (own.eos_token_id, own.sep_token_id)
    begin, end = (around[:-1], around[-1:]) if has_end else (around, ())
    between = [tokenizer.sep_token_id]
    is_blenderbot = isinstance(own, BlenderbotTokenizer | BlenderbotSmallTokenizer)
    if is_blenderbot:
        newline = own.get_vocab().get(NEWLINE_TOKEN)
        between = tokenizer.encode(SPACES) or between if newline is None else [newline]
    sentence = tokenizer.encode(PERSONA) if is_blenderbot else []
    ends_with = tokenizer.sep_token_id if own.eos_token_id is None else own.eos_token_id
    return EncoderLayout(
        EncoderWords(begin, end, tuple(between), tuple(sentence)),
        end_token_id=ends_with,
        pad_token_id=ends_with if own.pad_token_id is None else own.pad_token_id,
        joins_by_space=is_blenderbot,
    )
